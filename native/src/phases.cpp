// The time loop and the everywhere phase: which rows and units each part runs, in what order, and where threads meet.
#include <algorithm>
#include <cstring>

#include "worker.h"

namespace recell {

namespace {

Range part_of(int64_t count, int part, int parts) { return {count * part / parts, count * (part + 1) / parts}; }
Range meet(Range a, Range b) { return {std::max(a.first, b.first), std::min(a.last, b.last)}; }

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
int64_t slot_of(const Operand& o, int64_t t, int64_t s, bool reverse) {
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

// Valid (t, row) pairs are numbered by step, then row. Walks through [first, last) in spans.
template <class T> class ValidRows {
  public:
    ValidRows(const Run<T>& run, Range numbers, bool step_by_step)
        : run_(run), left_(numbers.last - numbers.first), merge_(!run.call.active && !step_by_step) {
        if (left_ <= 0) return;
        if (!run.call.active) {
            t_ = numbers.first / run.rows();
            n_ = numbers.first % run.rows();
            return;
        }
        const auto& first = run.first_valid;
        t_ = std::upper_bound(first.begin(), first.end(), numbers.first) - first.begin() - 1;
        n_ = numbers.first - first[size_t(t_)];
    }

    bool done() const { return left_ <= 0; }

    // The next span, of at most `limit` rows. Without `active` all rows lie one after the other, whatever the step.
    Span take(int64_t limit) {
        if (n_ >= run_.active(t_)) ++t_, n_ = 0;
        int64_t count = std::min(left_, limit);
        if (!merge_) count = std::min(count, run_.active(t_) - n_);
        const Span span{t_ * run_.rows() + n_, n_, t_, count};
        left_ -= count;
        n_ += count;
        if (merge_) t_ += n_ / run_.rows(), n_ %= run_.rows();
        return span;
    }

  private:
    const Run<T>& run_;
    int64_t left_, t_ = 0, n_ = 0;
    bool merge_;
};

template <class T> Chunk take_chunk(ValidRows<T>& rows, Span* spans) {
    Chunk chunk{spans, 0, 0};
    while (!rows.done() && chunk.rows < everywhere_chunk) {
        spans[chunk.span_count] = rows.take(everywhere_chunk - chunk.rows);
        chunk.rows += spans[chunk.span_count++].count;
    }
    return chunk;
}

// Calls f(chunk, next) for rows [first, last) of the valid ones; the chunk that follows is empty at the end.
template <class T, class F> void each_chunk(Worker<T>& w, const Phase& phase, Range numbers, F f) {
    ValidRows<T> rows(w.run, numbers, phase.step_by_step);
    Span spans[2][everywhere_chunk];
    Chunk chunk = take_chunk(rows, spans[0]);
    for (int other = 1; chunk.rows > 0; other = 1 - other) {
        const Chunk next = take_chunk(rows, spans[other]);
        f(chunk, next);
        chunk = next;
    }
}

// The streams of the next chunk, fetched while this one's products compute.
template <class T> void look_ahead(Worker<T>& w, const Phase& phase, const Chunk& next) {
    w.ahead.clear();
    for (const Stage& stage : phase.stages)
        for (const std::vector<int>* streams : {&stage.inputs, &stage.streams})
            for (int id : *streams) {
                const Operand& o = w.run.program.operand(id);
                for (int64_t i = 0; i < next.span_count; ++i)
                    w.ahead.add(base_of(w.run, o, 0, 0) + next.spans[i].index * o.ld, next.spans[i].count * o.ld * int64_t(sizeof(T)));
            }
}

template <class T> void everywhere_by_rows(Worker<T>& w, const Phase& phase) {
    each_part(w, [&](int part) {
        clear_accumulators(w, phase, part);
        for (const Stage& stage : phase.stages) point_everywhere(w, stage);
        each_chunk(w, phase, part_of(w.run.valid_rows(), part, w.run.parts), [&](const Chunk& chunk, const Chunk& next) {
            look_ahead(w, phase, next);
            for (const Stage& stage : phase.stages)
                run_stage(w, stage, chunk, {0, slab_count(stage, w.run.kernels.slab), w.part_accumulators(part)});
        });
    });
}

// Few rows: as in the loop, the parts share them and split the units.
template <class T> void everywhere_by_units(Worker<T>& w, const Phase& phase) {
    each_part(w, [&](int part) { clear_accumulators(w, phase, part); });
    for (const Stage& stage : phase.stages) {
        point_everywhere(w, stage);
        each_part(w, [&](int part) {
            const Range slabs = part_of(slab_count(stage, w.run.kernels.slab), part, w.run.parts);
            if (slabs.empty()) return;
            each_chunk(w, phase, {0, w.run.valid_rows()},
                       [&](const Chunk& chunk, const Chunk&) { run_stage(w, stage, chunk, {slabs.first, slabs.last, w.part_accumulators(part)}); });
        });
        w.barrier();
    }
}

// The valid rows of `mine` at loop steps [steps.first, steps.last), in chunks, and the chunk that follows each.
template <class T> class BlockRows {
  public:
    BlockRows(const Run<T>& run, Range mine, Range steps, bool ascending)
        : run_(run), mine_(mine), left_(steps.last - steps.first), t_(ascending ? steps.first : run.steps() - 1 - steps.first), by_(ascending ? 1 : -1),
          n_(mine.first) {}

    Chunk take(Span* spans) {
        Chunk chunk{spans, 0, 0};
        while (left_ > 0 && chunk.rows < everywhere_chunk) {
            const Range rows = meet({n_, mine_.last}, {0, run_.active(t_)});
            const int64_t count = std::min(rows.last - rows.first, everywhere_chunk - chunk.rows);
            if (count > 0) {
                spans[chunk.span_count++] = {t_ * run_.rows() + n_, n_, t_, count};
                chunk.rows += count;
                n_ += count;
            }
            if (n_ >= std::min(mine_.last, run_.active(t_))) t_ += by_, --left_, n_ = mine_.first;
        }
        return chunk;
    }

  private:
    const Run<T>& run_;
    Range mine_;
    int64_t left_, t_, by_, n_;
};

template <class T> class Together {
  public:
    Together(Worker<T>& worker, const Phase* phases, int count, const Phase* outer, int part)
        : w_(worker), run_(worker.run), phases_(phases), count_(count), outer_(outer), part_(part), tapes_(size_t(count)),
          mine_{run_.row_bounds[size_t(part)], run_.row_bounds[size_t(part) + 1]} {
        for (int i = 0; i < count; ++i) {
            clear_accumulators(w_, phases[i], part);
            if (phases[i].kind != PhaseKind::loop) continue;
            loops_.emplace_back(w_, phases[i]);
            ascending_ = (run_.call.reverse != 0) == phases[i].backward;
        }
        if (outer_) clear_outer(w_, *outer_, part);
    }

    void run() {
        const int64_t block = std::max<int64_t>(1, everywhere_chunk / std::max<int64_t>(1, mine_.last - mine_.first));
        int64_t s = 0, summed = 0;
        do {  // once without steps too: states are passed on
            const Range steps{s, std::min(s + block, run_.steps())}, next{steps.last, std::min(steps.last + block, run_.steps())};
            look_ahead(next);
            for (int i = 0, loop = 0; i < count_; ++i)
                if (phases_[i].kind == PhaseKind::loop)
                    loops_[size_t(loop)].go_on(steps, part_, mine_, tapes_[size_t(loop)]), ++loop;
                else
                    everywhere(phases_[i], steps);
            s = steps.last;
            if (outer_ && ((s - summed) * (mine_.last - mine_.first) >= rows_summed || s == run_.steps()))
                add_outer(w_, *outer_, part_, ascending_ ? Range{summed, s} : Range{run_.steps() - s, run_.steps() - summed}, mine_), summed = s;
        } while (s < run_.steps());
    }

  private:
    static constexpr int64_t rows_summed = 2 * everywhere_chunk;  // for each reading of the sums; what was made of them is near

    // What all phases will read or write of the next block, fetched while this one's products compute.
    void look_ahead(Range steps) {
        Span spans[everywhere_chunk];
        const Chunk next = BlockRows<T>(run_, mine_, steps, ascending_).take(spans);
        w_.ahead.clear();
        for (int id : phases_->streams_together) {
            const Operand& o = run_.program.operand(id);
            for (int64_t i = 0; i < next.span_count; ++i)
                w_.ahead.add(base_of(run_, o, 0, 0) + spans[i].index * o.ld, spans[i].count * o.ld * int64_t(sizeof(T)));
        }
    }

    void everywhere(const Phase& phase, Range steps) {
        Span spans[everywhere_chunk];
        BlockRows<T> rows(run_, mine_, steps, ascending_);
        for (Chunk chunk = rows.take(spans); chunk.rows > 0; chunk = rows.take(spans))
            for (const Stage& stage : phase.stages) {
                point_everywhere(w_, stage);
                run_stage(w_, stage, chunk, {0, slab_count(stage, run_.kernels.slab), w_.part_accumulators(part_)});
            }
    }

    Worker<T>& w_;
    const Run<T>& run_;
    const Phase* phases_;
    int count_;
    const Phase* outer_;
    int part_;
    std::vector<Loop<T>> loops_;
    std::vector<Tape<T>> tapes_;
    Range mine_;
    bool ascending_ = true;
};

}  // namespace

template <class T> void run_together(Worker<T>& w, const Phase* phases, int count, const Phase* outer) {
    each_part(w, [&](int part) { Together<T>(w, phases, count, outer, part).run(); });
    for (int i = 0; i < count; ++i) write_accumulators(w, phases[i]);
    if (outer) write_outer(w, *outer);
}

template <class T> void run_loop(Worker<T>& w, const Phase& phase) {
    Loop<T> loop(w, phase);
    if (w.run.split_units && phase.units_apart && !w.run.call.active && w.run.steps())
        loop.scan_units();
    else if (w.run.split_units)
        loop.split_units();
    else
        loop.split_rows();
    write_accumulators(w, phase);
}

template <class T> void run_everywhere(Worker<T>& w, const Phase& phase) {
    if (w.run.split_units && w.run.valid_rows() < 5 * w.run.parts)
        everywhere_by_units(w, phase);
    else
        everywhere_by_rows(w, phase);
    write_accumulators(w, phase);
}

template void run_together(Worker<float>&, const Phase*, int, const Phase*);
template void run_together(Worker<double>&, const Phase*, int, const Phase*);
template void run_loop(Worker<float>&, const Phase&);
template void run_loop(Worker<double>&, const Phase&);
template void run_everywhere(Worker<float>&, const Phase&);
template void run_everywhere(Worker<double>&, const Phase&);

}  // namespace recell
