// The time loop: which rows and units each part runs, in what order, and where threads meet.
#pragma once
#include <cstring>

#include "phases.h"

namespace recell {

template <class T> class Loop {
  public:
    Loop(Worker<T>& worker, const Phase& phase) : w_(worker), run_(worker.run), phase_(phase) {
        ascending_ = (run_.call.reverse != 0) == phase.backward;
        for (const Stage& stage : phase.stages)
            for (int id : stage.memory) w_.walks[id] = walk_of(run_.program.operand(id));
    }

    void split_rows() {
        each_part(w_, [&](int part) {
            clear_accumulators(w_, phase_, part);
            const Range mine{run_.row_bounds[size_t(part)], run_.row_bounds[size_t(part) + 1]};
            Tape<T> tape;
            go_on({0, run_.steps()}, part, mine, tape);
        });
    }

    // One part's rows at steps [steps.first, steps.last), which follow those that the tape has seen.
    void go_on(Range steps, int part, Range mine, Tape<T>& tape) {
        for (int64_t s = steps.first; s < steps.last; ++s) {
            const Range rows = valid(s, mine);
            if (begins_block(s))
                for (const Stage& stage : phase_.stages) begin(stage, s, mine, {0, slab_count(stage, run_.kernels.slab)});
            if (rows.empty()) continue;
            enter(s, mine);
            if (!goes_on(s)) start(tape, s);
            if (tape.ready())
                repeat(tape, rows, s);
            else
                run_step(tape, part, mine, rows, s);
            leave(s, mine);
        }
        if (steps.last == run_.steps()) pass_idle(mine);
    }

    // All threads go through the steps together; every decision to meet depends on the call alone.
    void split_units() {
        each_part(w_, [&](int part) { clear_accumulators(w_, phase_, part); });
        for (int64_t s = 0; s < run_.steps(); ++s) {
            const int64_t t = step(s), active = run_.active(t);
            if (begins_block(s))
                each_part(w_, [&](int part) {
                    for (const Stage& stage : phase_.stages)
                        if (!stage.by_rows) begin(stage, s, {0, run_.rows()}, slabs_of(stage, part));
                });
            if (active == 0) continue;
            if (!phase_.states.empty() && !entering(s).empty()) {
                each_part(w_, [&](int part) { enter(s, part_of(run_.rows(), part, run_.parts)); });
                w_.barrier();
            }
            for (const Stage& stage : phase_.stages) {
                point_at_step(w_, stage, s);
                each_part(w_, [&](int part) { run_share(stage, part, active, t, s); });
                w_.barrier();
            }
            each_part(w_, [&](int part) { leave(s, part_of(run_.rows(), part, run_.parts)); });
        }
        each_part(w_, [&](int part) { pass_idle(part_of(run_.rows(), part, run_.parts)); });
    }

    // Nobody waits for anybody between the first step and the last.
    void scan_units() {
        each_part(w_, [&](int part) {
            clear_accumulators(w_, phase_, part);
            enter(0, part_of(run_.rows(), part, run_.parts));
        });
        w_.barrier();
        each_part(w_, [&](int part) {
            for (int64_t s = 0; s < run_.steps(); ++s)
                for (const Stage& stage : phase_.stages) {
                    point_at_step(w_, stage, s);
                    run_share(stage, part, run_.rows(), step(s), s);
                }
        });
        w_.barrier();
        each_part(w_, [&](int part) { leave(run_.steps() - 1, part_of(run_.rows(), part, run_.parts)); });
    }

  private:
    // -- steps that are alike ------------------------------------------------------------------------------------------------------
    // Whether step s differs from the one before in nothing but where its operands lie.
    bool goes_on(int64_t s) const { return s > 0 && !begins_block(s) && run_.active(step(s)) == run_.active(step(s - 1)); }

    void start(Tape<T>& tape, int64_t s) {
        int64_t end = s + 1;
        while (end < run_.steps() && end < s + Tape<T>::worth_steps && goes_on(end)) ++end;
        tape.clear();
        if (end < s + Tape<T>::worth_steps) tape.refuse();
    }

    void run_step(Tape<T>& tape, int part, Range mine, Range rows, int64_t s) {
        w_.tape = tape.recording() ? &tape : nullptr;
        if (w_.tape) tape.begin();
        for (const Stage& stage : phase_.stages) {
            point_at_step(w_, stage, s);
            look_ahead(stage, rows, s);
            const Range slabs{0, slab_count(stage, run_.kernels.slab)};
            run_rows(w_, stage, rows, step(s), share_of(slabs, part, s, mine, 0));
            if (w_.tape) tape.end_stage();
        }
        if (w_.tape) tape.end();
        w_.tape = nullptr;
    }

    void repeat(Tape<T>& tape, Range rows, int64_t s) {
        tape.next_step();
        for (size_t i = 0; i < phase_.stages.size(); ++i) {
            look_ahead(phase_.stages[i], rows, s);
            tape.run_stage(run_.kernels, i, &w_.ahead);
        }
    }

    // -- products computed ahead: of the block of steps from s on, every valid row of `mine` after the other ---------------------
    bool begins_block(int64_t s) const { return run_.steps_ahead && phase_.ahead_width && s % run_.steps_ahead == 0; }

    Range valid(int64_t s, Range mine) const { return meet(mine, {0, run_.active(step(s))}); }

    void begin(const Stage& stage, int64_t first, Range mine, Range slabs) {
        if (!stage.begins_ahead || slabs.empty()) return;
        Span spans[everywhere_chunk];
        Chunk chunk{spans, 0, 0};
        for (int64_t s = first; s < std::min(first + run_.steps_ahead, run_.steps()); ++s) {
            const Range rows = valid(s, mine);
            if (rows.empty()) continue;
            spans[chunk.span_count++] = {step(s) * run_.rows() + rows.first, rows.first, step(s), rows.last - rows.first};
            chunk.rows += rows.last - rows.first;
        }
        if (!chunk.rows) return;
        point_everywhere(w_, stage);
        w_.ahead.clear();
        run_stage_ahead(w_, stage, chunk, {slabs.first, slabs.last, nullptr, w_.begun, phase_.ahead_width});
    }

    // Of rows from mine.first + offset on, at loop step s.
    Share<T> share_of(Range slabs, int part, int64_t s, Range mine, int64_t offset) {
        Share<T> share{slabs.first, slabs.last, w_.part_accumulators(part)};
        if (!run_.steps_ahead || !phase_.ahead_width) return share;
        for (int64_t before = s / run_.steps_ahead * run_.steps_ahead; before < s; ++before) {
            const Range rows = valid(before, mine);
            offset += std::max<int64_t>(0, rows.last - rows.first);
        }
        share.begun = w_.begun + offset * phase_.ahead_width;
        share.begun_width = phase_.ahead_width;
        return share;
    }

    Walk<T> walk_of(const Operand& o) const {
        const bool reverse = run_.call.reverse != 0, rolls = o.slot == RC_ROLL_NEW || o.slot == RC_ROLL_PREVIOUS;
        const int64_t slots = slot_of(o, ascending_ ? 1 : -1, 1, reverse) - slot_of(o, 0, 0, reverse);
        const int64_t distance = slots * run_.rows() * o.ld;
        return {base_of(run_, o, step(0), 0), rolls ? 0 : distance, rolls ? distance : 0};
    }

    int64_t step(int64_t s) const { return ascending_ ? s : run_.steps() - 1 - s; }

    // Ascending, rows only leave after the first step; descending, they only enter until the last.
    Range entering(int64_t s) const { return {s == 0 ? 0 : run_.active(step(s - 1)), run_.active(step(s))}; }
    Range leaving(int64_t s) const {
        return {s + 1 == run_.steps() ? 0 : run_.active(step(s + 1)), run_.active(step(s))};
    }

    // While a stage's products compute, its own streams and those of the stages without products that follow are fetched.
    void look_ahead(const Stage& stage, Range rows, int64_t s) {
        if (stage.forms.empty()) return;
        w_.ahead.clear();
        if (rows.last - rows.first == 1) return;  // one row's products fetch nothing else
        fetch(stage.streams, rows, s);
        const Stage* end = phase_.stages.data() + phase_.stages.size();
        for (const Stage* next = &stage + 1;; ++next) {
            if (next == end) {
                next = phase_.stages.data();
                if (++s >= run_.steps()) return;
            }
            if (!next->forms.empty()) return run_.steps_ahead ? void() : fetch(next->inputs, rows, s);
            fetch(next->streams, rows, s);
        }
    }

    void fetch(const std::vector<int>& operands, Range rows, int64_t s) {
        for (int id : operands) {
            const Operand& o = run_.program.operand(id);
            w_.ahead.add(w_.walks[id].at(s) + rows.first * o.ld, ((rows.last - rows.first - 1) * o.ld + o.width) * int64_t(sizeof(T)));
        }
    }

    Range slabs_of(const Stage& stage, int part) const { return part_of(slab_count(stage, run_.kernels.slab), part, run_.parts); }

    // A by_rows stage's rows change hands from step to step: it computes all its products itself.
    void run_share(const Stage& stage, int part, int64_t active, int64_t t, int64_t s) {
        if (stage.by_rows) return run_rows(w_, stage, part_of(active, part, run_.parts), t, {0, 1, w_.part_accumulators(part)});
        const Range slabs = slabs_of(stage, part);
        if (!slabs.empty()) run_rows(w_, stage, {0, active}, t, share_of(slabs, part, s, {0, run_.rows()}, 0));
    }

    void enter(int64_t s, Range mine) {
        const Range rows = meet(entering(s), mine);
        for (const State& state : phase_.states) copy(state.initial, state.previous, rows, step(s), s);
    }

    void leave(int64_t s, Range mine) {
        const Range rows = meet(leaving(s), mine);
        for (const State& state : phase_.states)
            if (state.final >= 0) copy(state.next, state.final, rows, step(s), s);
    }

    // Rows without a valid step keep their initial state.
    void pass_idle(Range mine) {
        const Range rows = meet({run_.steps() ? run_.active(0) : 0, run_.rows()}, mine);
        for (const State& state : phase_.states)
            if (state.final >= 0) copy(state.initial, state.final, rows, 0, 0);
    }

    void copy(int from, int to, Range rows, int64_t t, int64_t s) {
        if (rows.empty()) return;
        const Operand &source = run_.program.operand(from), &target = run_.program.operand(to);
        T* out = base_of(run_, target, t, s);
        const T* in = source.place == Place::constant ? nullptr : base_of(run_, source, t, s);
        for (int64_t n = rows.first; n < rows.last; ++n)
            if (in)
                std::memmove(out + n * target.ld, in + n * source.ld, size_t(target.width) * sizeof(T));
            else
                std::fill_n(out + n * target.ld, target.width, T(source.value));
    }

    Worker<T>& w_;
    const Run<T>& run_;
    const Phase& phase_;
    bool ascending_;
};

}  // namespace recell
