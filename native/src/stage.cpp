// One stage on one chunk of rows: the forms into tiles, then the points, op by op, over small tiles of rows.
#include <algorithm>
#include <cstring>
#include <span>

#include "coin.h"
#include "worker.h"

namespace recell {

namespace {

constexpr size_t most_products = 8;  // of one call of the micro-kernel

template <class T> struct Address {
    T* first;
    int64_t stride;  // between rows; 0: broadcast
};

template <class T> class StageRun {
  public:
    StageRun(Worker<T>& worker, const Stage& stage, const Chunk& chunk, const Share<T>& share, Products products)
        : w_(worker), run_(worker.run), k_(worker.run.kernels), stage_(stage), chunk_(chunk), share_(share), products_(products) {}

    void run() {
        point_at_rows();
        if (stage_.by_rows) return run_rows();
        for (int64_t slab = share_.first_slab; slab < share_.last_slab; ++slab) {
            unit_ = slab * k_.slab;
            width_ = std::min<int64_t>(k_.slab, stage_.width - unit_);
            const T** rows = w_.pointers;
            for (const Form& form : stage_.forms) rows = compute(form, unit_, width_, rows);
            if (products_ != Products::ahead) run_points();
        }
    }

  private:
    const Operand& operand(int id) const { return run_.program.operand(id); }

    static int64_t index(const Operand& o, const Span& span) { return o.slot == RC_ROW ? span.row : span.index; }

    T* at(int id, const Operand& o, const Span& span, int64_t offset) const { return w_.base[id] + (index(o, span) + offset) * o.ld; }

    // The segments of a form that this run computes.
    std::span<const Segment> segments_of(const Form& form) const {
        const std::span<const Segment> all(form.segments);
        if (products_ == Products::all) return all;
        return products_ == Products::ahead ? all.first(size_t(form.ready)) : all.subspan(size_t(form.ready));
    }

    // One pointer per row of the chunk for each segment, in the order of the forms.
    void point_at_rows() {
        if (run_.program.pairs) return point_at_pairs();
        const T** next = w_.pointers;
        for (const Form& form : stage_.forms)
            for (const Segment& segment : segments_of(form)) {
                const Operand& o = operand(segment.operand);
                for (int64_t s = 0; s < chunk_.span_count; ++s)
                    for (int64_t r = 0; r < chunk_.spans[s].count; ++r) *next++ = at(segment.operand, o, chunk_.spans[s], r);
            }
    }

    bool reads(int id) const {
        for (const Form& form : stage_.forms)
            for (const Segment& segment : segments_of(form))
                if (segment.operand == id) return true;
        return false;
    }

    // The same, to the rows in bf16: every operand is rounded once for all forms and slabs.
    void point_at_pairs() {
        uint32_t* to = w_.pairs;
        for (int id : stage_.operands) {
            if (products_ != Products::all && !reads(id)) continue;
            const Operand& o = operand(id);
            const uint32_t* first = to;
            for (int64_t s = 0; s < chunk_.span_count; ++s)
                for (int64_t r = 0; r < chunk_.spans[s].count; ++r, to += pair_count(o.width))
                    k_.pair_neighbours(at(id, o, chunk_.spans[s], r), o.width, to);
            auto next = reinterpret_cast<const uint32_t**>(w_.pointers);
            for (const Form& form : stage_.forms)
                for (const Segment& segment : segments_of(form)) {
                    for (int64_t r = 0; segment.operand == id && r < chunk_.rows; ++r) next[r] = first + r * pair_count(o.width);
                    next += chunk_.rows;
                }
        }
    }

    void run_rows() {
        unit_ = 0;
        const T** rows = w_.pointers;
        for (const Form& form : stage_.forms) {
            const T** after = rows;
            for (int64_t unit = 0; unit < form.width; unit += k_.slab)
                after = compute(form, unit, std::min<int64_t>(k_.slab, form.width - unit), rows);
            rows = after;
        }
        if (products_ != Products::ahead) run_points();
    }

    // Units [unit, unit + width) of a form for the whole chunk. `rows` are its segments' row pointers; returns the next form's.
    // Whole vectors go straight to evenly spaced memory and start straight from a bias; the rest takes the way through a tile.
    const T** compute(const Form& form, int64_t unit, int64_t width, const T** rows) {
        const std::span<const Segment> segments = segments_of(form);
        if (products_ == Products::ahead) {
            if (!segments.empty()) compute_ahead(form, segments, unit, width, rows);
            return rows + int64_t(segments.size()) * chunk_.rows;
        }
        const Operand& d = operand(form.destination);
        const bool to_tile = d.place == Place::tile, whole = width % k_.lanes == 0;
        const bool direct = !to_tile && whole && chunk_.span_count == 1 && !segments.empty();
        T* tile = to_tile ? w_.tiles + d.scratch * capacity_ + (stage_.by_rows ? unit : 0) : w_.tiles;
        const int64_t tile_stride = to_tile ? d.row_stride : k_.slab;
        T* target = direct ? at(form.destination, d, chunk_.spans[0], 0) + unit : tile;
        const int64_t stride = direct ? d.ld : tile_stride;
        const Start<T> start = start_of(form, segments, unit, width, tile, tile_stride);
        add_segments(rows, segments, unit, width, target, stride, start);
        if (!to_tile && !direct) write_out(form.destination, unit, width, tile);
        return rows + int64_t(segments.size()) * chunk_.rows;
    }

    // Into rows of their own, which lie one after the other.
    void compute_ahead(const Form& form, std::span<const Segment> segments, int64_t unit, int64_t width, const T** rows) {
        T* target = share_.begun + form.ahead + unit;
        Start<T> start{};
        if (width % k_.lanes == 0 && starts_from_vector(form)) {
            start = {w_.base[form.initial] + unit, 0};
        } else if (form.initial >= 0) {
            fill(form, unit, width, target, share_.begun_width);
            start = {target, share_.begun_width};
        }
        add_segments(rows, segments, unit, width, target, share_.begun_width, start);
    }

    // What a form's products are added to. Where there are none to add, the tile holds it.
    Start<T> start_of(const Form& form, std::span<const Segment> segments, int64_t unit, int64_t width, T* tile, int64_t stride) {
        if (products_ == Products::rest && form.ahead >= 0) {
            const Start<T> begun{share_.begun + form.ahead + unit, share_.begun_width};
            if (!segments.empty()) return begun;
            for (int64_t r = 0; r < chunk_.rows; ++r)
                std::memcpy(tile + r * stride, begun.first + r * begun.stride, size_t(round_up(width, k_.lanes)) * sizeof(T));
            return begun;
        }
        if (width % k_.lanes == 0 && !segments.empty() && starts_from_vector(form)) return {w_.base[form.initial] + unit, 0};
        if (form.initial < 0 && !segments.empty()) return {};
        fill(form, unit, width, tile, stride);
        return {tile, stride};
    }

    void add_segments(const T** rows, std::span<const Segment> segments, int64_t unit, int64_t width, T* target, int64_t stride, Start<T> start) {
        if (run_.program.pairs)
            add_segments(k_.gemm_pairs, reinterpret_cast<const uint32_t**>(rows), segments, unit, width, target, stride, start);
        else
            add_segments(k_.gemm, rows, segments, unit, width, target, stride, start);
    }

    template <class E> using Gemm = void (*)(int64_t, const Product<E>*, int, int, T*, int64_t, Start<T>, Ahead*);

    template <class E>
    void add_segments(Gemm<E> gemm, const E** rows, std::span<const Segment> segments, int64_t unit, int64_t width, T* target, int64_t stride,
                      Start<T> start) {
        Product<E> products[most_products];
        for (size_t done = 0; done < segments.size(); done += most_products, start = {target, stride}) {
            const int count = int(std::min<size_t>(most_products, segments.size() - done));
            for (int i = 0; i < count; ++i, rows += chunk_.rows) {
                const Matrix& m = run_.program.matrices[size_t(segments[done + size_t(i)].matrix)];
                const int64_t depth = run_.program.pairs ? pair_count(m.depth()) : m.depth();
                products[i] = {rows, depth, reinterpret_cast<const E*>(run_.packs + m.pack_offset) + unit * depth};
            }
            multiply(gemm, products, count, width, target, stride, start);
        }
    }

    bool starts_from_vector(const Form& form) const {
        if (form.initial < 0) return false;
        const Operand& o = operand(form.initial);
        return o.place == Place::memory && o.slot == RC_VECTOR;
    }

    void fill(const Form& form, int64_t unit, int64_t width, T* tile, int64_t stride) {
        const int64_t padded = round_up(width, k_.lanes);
        const Operand* o = form.initial < 0 ? nullptr : &operand(form.initial);
        for (int64_t s = 0; s < chunk_.span_count; ++s)
            for (int64_t r = 0; r < chunk_.spans[s].count; ++r, tile += stride) {
                if (!o || o->place == Place::constant)
                    std::fill(tile, tile + width, o ? T(o->value) : T(0));
                else
                    std::memcpy(tile, at(form.initial, *o, chunk_.spans[s], r) + unit, size_t(width) * sizeof(T));
                std::fill(tile + width, tile + padded, T(0));
            }
    }

    // Panel by panel; the products are left at the last one.
    template <class E>
    void multiply(Gemm<E> gemm, Product<E>* products, int count, int64_t width, T* target, int64_t stride, Start<T> start) {
        for (int64_t first = 0; first < width; first += k_.panel) {
            const int64_t panel = std::min<int64_t>(k_.panel, round_up(width - first, k_.lanes));
            const Start<T> own{start.first ? start.first + first : nullptr, start.stride};
            gemm(chunk_.rows, products, count, int(panel), target + first, stride, own, &w_.ahead);
            for (int i = 0; i < count; ++i) products[i].panel += k_.panel * products[i].depth;
        }
    }

    void write_out(int destination, int64_t unit, int64_t width, const T* tile) {
        const Operand& o = operand(destination);
        for (int64_t s = 0; s < chunk_.span_count; ++s)
            for (int64_t r = 0; r < chunk_.spans[s].count; ++r, tile += k_.slab)
                std::memcpy(at(destination, o, chunk_.spans[s], r) + unit, tile, size_t(width) * sizeof(T));
    }

    void run_points() {
        if (stage_.points.empty()) return;
        int64_t local = 0;
        for (int64_t s = 0; s < chunk_.span_count; ++s) {
            const Span& span = chunk_.spans[s];
            // Equal tiles, none much smaller than the others.
            int64_t offset = 0;
            for (int64_t left = (span.count + stage_.tile_rows - 1) / stage_.tile_rows; left > 0; --left) {
                const int64_t take = (span.count - offset + left - 1) / left;
                tile_ = {&span, offset, take, local + offset};
                for (const Point& point : stage_.points) run_point(point);
                offset += take;
            }
            local += span.count;
        }
    }

    Address<T> resolve(int id) const {
        const Operand& o = operand(id);
        const int64_t unit = o.width == stage_.width ? unit_ : 0;  // row scalars have no slab; in by_rows stages unit_ is 0
        switch (o.place) {
            case Place::memory:
                if (o.slot == RC_VECTOR) return {w_.base[id] + unit, 0};
                return {at(id, o, *tile_.span, tile_.offset) + unit, o.ld};
            case Place::reg: return {w_.registers + o.scratch * stage_.tile_rows + o.column, o.row_stride};
            case Place::tile: return {w_.tiles + o.scratch * capacity_ + tile_.local * o.row_stride + o.column, o.row_stride};
            case Place::constant: return {const_cast<T*>(run_.constant(o)), 0};
            case Place::accumulator: return {share_.accumulators + o.scratch + o.column + unit, 0};
        }
        __builtin_unreachable();
    }

    // The width of this slab's part of an operand.
    int64_t width_of(const Operand& o) const { return stage_.by_rows || o.width != stage_.width ? o.width : width_; }

    void run_point(const Point& point) {
        if (point.once && unit_ > 0) return;
        const OpRow& row = op_table[point.op];
        const Operand& d = operand(point.destination);
        const Address<T> to = resolve(point.destination);
        if (row.kind == OpKind::coin) return toss(point, d, to);
        const T* from[3];
        int64_t strides[3];
        for (int i = 0; i < row.arity; ++i) {
            const Address<T> address = resolve(point.operand[i]);
            from[i] = address.first;
            strides[i] = address.stride;
        }
        if (row.kind == OpKind::accumulate) {
            const Operand& a = operand(point.operand[0]);
            const bool all = d.width == 1 && a.width > 1;
            return (all ? k_.accumulate_all : k_.accumulate)(tile_.rows, width_of(a), to.first, from[0], strides[0]);
        }
        const int64_t width = row.kind == OpKind::reduction ? operand(point.operand[0]).width : width_of(d);
        k_.point[point.op](tile_.rows, width, to.first, to.stride, from, strides);
    }

    void toss(const Point& point, const Operand& d, Address<T> to) {
        const Span& span = *tile_.span;
        const uint32_t number = uint32_t(point.immediate >> 1);
        const double rate = operand(point.operand[1]).value;
        CoinRow coin{0, uint32_t(d.width == stage_.width ? unit_ : 0), uint32_t(point.immediate & 1 ? run_.call.first_step + span.step : 0),
                     uint64_t(rate <= 0 ? 0 : std::min(rate, 1.0) * 4294967296.0)};
        const uint32_t hash = coin_mix(run_.coin_hash ^ number);
        for (int64_t r = 0; r < tile_.rows; ++r) {
            const int64_t n = span.row + tile_.offset + r;
            coin.hash = coin_mix(hash ^ uint32_t(run_.call.row_numbers ? run_.call.row_numbers[n] : n));
            k_.coin(coin, width_of(d), to.first + r * to.stride);
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
    const Products products_;
    const int64_t capacity_ = chunk_.rows;  // tiles lie one after the other, each for the chunk's rows
    int64_t unit_ = 0, width_ = 0;
    Tile tile_{};
};

}  // namespace

template <class T> void run_stage(Worker<T>& worker, const Stage& stage, const Chunk& chunk, const Share<T>& share) {
    StageRun<T>(worker, stage, chunk, share, share.begun && stage.begins_ahead ? Products::rest : Products::all).run();
}

template <class T> void run_stage_ahead(Worker<T>& worker, const Stage& stage, const Chunk& chunk, const Share<T>& share) {
    StageRun<T>(worker, stage, chunk, share, Products::ahead).run();
}

template void run_stage(Worker<float>&, const Stage&, const Chunk&, const Share<float>&);
template void run_stage(Worker<double>&, const Stage&, const Chunk&, const Share<double>&);
template void run_stage_ahead(Worker<float>&, const Stage&, const Chunk&, const Share<float>&);
template void run_stage_ahead(Worker<double>&, const Stage&, const Chunk&, const Share<double>&);

}  // namespace recell
