// The same stages over the rows of all steps at once.
#include "phases.h"

namespace recell {

namespace {

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

}  // namespace

template <class T> void run_everywhere(Worker<T>& w, const Phase& phase) {
    if (w.run.split_units && w.run.valid_rows() < 5 * w.run.parts)
        everywhere_by_units(w, phase);
    else
        everywhere_by_rows(w, phase);
    write_accumulators(w, phase);
}

template void run_everywhere(Worker<float>&, const Phase&);
template void run_everywhere(Worker<double>&, const Phase&);

}  // namespace recell
