// What the kinds of phases share: which rows a part runs, where operands lie at a step, sums of parts.
#pragma once
#include <algorithm>

#include "worker.h"

namespace recell {

inline Range part_of(int64_t count, int part, int parts) { return {count * part / parts, count * (part + 1) / parts}; }
inline Range meet(Range a, Range b) { return {std::max(a.first, b.first), std::min(a.last, b.last)}; }

// Calls f(part) for the logical parts that this real thread stands for.
template <class T, class F> void each_part(Worker<T>& w, F f) {
    for (int part = w.id; part < w.run.parts; part += w.count) f(part);
}

template <class T> void clear_accumulators(Worker<T>& w, const Phase& phase, int part) {
    for (int id : phase.accumulators) {
        const Operand& o = w.run.program.operand(id);
        std::fill_n(w.part_accumulators(part) + o.scratch, o.width, T(0));
    }
}

// All parts are done; adds them in their order.
template <class T> void write_accumulators(Worker<T>& w, const Phase& phase) {
    w.barrier();
    if (phase.accumulators.empty()) return;
    if (w.id == 0)
        for (int id : phase.accumulators) {
            const Operand& o = w.run.program.operand(id);
            T* out = w.run.buffer(o.buffer) + o.ld;
            for (int64_t u = 0; u < o.width; ++u) {
                T sum = 0;
                for (int part = 0; part < w.run.parts; ++part) sum += w.part_accumulators(part)[o.scratch + u];
                out[u] = sum;
            }
        }
    w.barrier();
}

// The slot of a memory operand at step t, the loop's s-th.
inline int64_t slot_of(const Operand& o, int64_t t, int64_t s, bool reverse) {
    switch (o.slot) {
        case RC_STEP: return t;
        case RC_NEW: return reverse ? t : t + 1;
        case RC_PREVIOUS: return reverse ? t + 1 : t;
        case RC_ROLL_NEW: return (s + 1) & 1;
        case RC_ROLL_PREVIOUS: return s & 1;
        default: return 0;
    }
}

template <class T> T* base_of(const Run<T>& run, const Operand& o, int64_t t, int64_t s) {
    return run.buffer(o.buffer) + slot_of(o, t, s, run.call.reverse != 0) * run.rows() * o.ld + o.column;
}

template <class T> void point_at_step(Worker<T>& w, const Stage& stage, int64_t s) {
    for (int id : stage.memory) w.base[id] = w.walks[id].at(s);
}

// A row of an operand is counted from slot 0, so only NEW and PREVIOUS are shifted.
template <class T> void point_everywhere(Worker<T>& w, const Stage& stage) {
    for (int id : stage.memory) w.base[id] = base_of(w.run, w.run.program.operand(id), 0, 0);
}

// Rows [first, last) at one step, in equal chunks.
template <class T> void run_rows(Worker<T>& w, const Stage& stage, Range rows, int64_t t, Share<T> share) {
    for (int64_t left = (rows.last - rows.first + loop_chunk - 1) / loop_chunk; left > 0; --left) {
        const int64_t take = (rows.last - rows.first + left - 1) / left;
        const Span span{rows.first, rows.first, t, take};
        run_stage(w, stage, Chunk{&span, 1, take}, share);
        if (share.begun) share.begun += take * share.begun_width;
        rows.first += take;
    }
}

}  // namespace recell
