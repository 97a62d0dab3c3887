// The points of a stage on one chunk of rows: op by op, over small tiles of rows.
#pragma once

#include <algorithm>

#include "coin.h"
#include "worker.h"

namespace recell {

template <class T> class PointRun {
  public:
    PointRun(Worker<T>& worker, const Stage& stage, const Chunk& chunk, const Share<T>& share, Tape<T>* tape)
        : w_(worker), run_(worker.run), k_(worker.run.kernels), stage_(stage), chunk_(chunk), share_(share), tape_(tape) {}

    // Units [unit, unit + width) of the whole chunk; where the stage goes by rows, every point knows its width.
    void run(int64_t unit, int64_t width) {
        unit_ = unit;
        width_ = width;
        if (stage_.points.empty()) return;
        int64_t local = 0;
        for (int64_t s = 0; s < chunk_.span_count; ++s) {
            const Span& span = chunk_.spans[s];
            // Equal tiles, none much smaller than the others.
            int64_t offset = 0;
            for (int64_t left = (span.count + stage_.tile_rows - 1) / stage_.tile_rows; left > 0; --left) {
                const int64_t take = (span.count - offset + left - 1) / left;
                tile_ = {&span, offset, take, local + offset};
                resolve();
                for (const Point& point : stage_.points)
                    if (!point.once || unit_ == 0) run_point(point);
                offset += take;
            }
            local += span.count;
        }
    }

  private:
    using Record = typename Tape<T>::Kind;

    const Operand& operand(int id) const { return run_.program.operand(id); }

    // Every operand's address once for all points of the tile.
    void resolve() {
        const int64_t first = tile_.span->index + tile_.offset, batch = tile_.span->row + tile_.offset;
        const int64_t rows[] = {first, batch, tile_.local, 0};
        T* const roots[] = {nullptr, w_.registers, w_.tiles, const_cast<T*>(run_.constants()), share_.accumulators};
        Address<T>* to = w_.addresses;
        for (const Source& source : stage_.addressed) {
            T* root = source.place == Place::memory ? w_.base[source.operand] : roots[size_t(source.place)];
            const int64_t row = source.rows == Rows::one ? 0 : rows[size_t(source.rows)] * source.stride;
            const int64_t unit = source.moves ? unit_ : 0;
            *to++ = {root + source.offset + source.chunk_offset * capacity_ + row + unit, source.stride, -int64_t(source.place != Place::constant)};
        }
        if (tape_) tape_->operands(w_.addresses, stage_.addressed.size());
    }

    void run_point(const Point& point) {
        const Address<T>* at = w_.addresses;
        const int64_t width = point.width ? point.width : width_;
        if (const PointFunction<T> run = k_.point[point.op]) {
            if (tape_) tape_->point(Record::point, run, tile_.rows, width, point.to, point.from);
            return run(tile_.rows, width, at[point.to], at[point.from[0]], at[point.from[1]], at[point.from[2]]);
        }
        if (point.op == op_coin) return toss(point, width, at[point.to]);
        const bool all = operand(point.destination).width == 1 && width > 1;
        if (tape_) tape_->point(all ? Record::sum_all : Record::sum, nullptr, tile_.rows, width, point.to, point.from);
        (all ? k_.accumulate_all : k_.accumulate)(tile_.rows, width, at[point.to].first, at[point.from[0]].first, at[point.from[0]].stride);
    }

    void toss(const Point& point, int64_t width, const Address<T>& to) {
        if (tape_) tape_->refuse();  // each step's coins are its own
        const Span& span = *tile_.span;
        const uint32_t number = uint32_t(point.immediate >> 1);
        const double rate = operand(point.operand[1]).value;
        CoinRow coin{0, uint32_t(point.width ? 0 : unit_), uint32_t(point.immediate & 1 ? run_.call.first_step + span.step : 0),
                     uint64_t(rate <= 0 ? 0 : std::min(rate, 1.0) * 4294967296.0)};
        const uint32_t hash = coin_mix(run_.coin_hash ^ number);
        for (int64_t r = 0; r < tile_.rows; ++r) {
            const int64_t n = span.row + tile_.offset + r;
            coin.hash = coin_mix(hash ^ uint32_t(run_.call.row_numbers ? run_.call.row_numbers[n] : n));
            k_.coin(coin, width, to.first + r * to.stride);
        }
    }

    struct Tile {
        const Span* span;
        int64_t offset, rows, local;  // rows from the span's start; how many; rows from the chunk's start
    };

    Worker<T>& w_;
    const Run<T>& run_;
    const Kernels<T>& k_;
    const Stage& stage_;
    const Chunk& chunk_;
    const Share<T>& share_;
    Tape<T>* const tape_;  // of the calls, where they are recorded
    const int64_t capacity_ = chunk_.rows;  // tiles lie one after the other, each for the chunk's rows
    int64_t unit_ = 0, width_ = 0;
    Tile tile_{};
};

}  // namespace recell
