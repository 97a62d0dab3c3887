// Phases that go through the steps block by block, so that what one writes the next reads while it is in the nearest caches.
#include "loop.h"

namespace recell {

namespace {

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

template void run_together(Worker<float>&, const Phase*, int, const Phase*);
template void run_together(Worker<double>&, const Phase*, int, const Phase*);

}  // namespace recell
