// One stage on one chunk of rows: the forms into tiles, then the points (points.h).
#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>

#include "points.h"
#include "worker.h"

namespace recell {

namespace {

constexpr size_t most_products = 8;   // of one call of the micro-kernel
constexpr int64_t rows_of_a_run = 4;  // on average, for runs of rows that are due to be computed each for itself

template <class T> class StageRun {
  public:
    StageRun(Worker<T>& worker, const Stage& stage, const Chunk& chunk, const Share<T>& share, Products products)
        : w_(worker), run_(worker.run), k_(worker.run.kernels), stage_(stage), chunk_(chunk), share_(share), products_(products),
          tape_(products == Products::ahead ? nullptr : worker.tape), points_(worker, stage, chunk, share, tape_) {}

    void run() {
        point_at_rows();
        find_due();
        if (stage_.by_rows) return run_rows();
        for (int64_t slab = share_.first_slab; slab < share_.last_slab; ++slab) {
            const int64_t unit = slab * k_.slab, width = std::min<int64_t>(k_.slab, stage_.width - unit);
            for (const Form& form : stage_.forms) compute(form, unit, width);
            if (products_ != Products::ahead) points_.run(unit, width);
        }
    }

  private:
    using Record = typename Tape<T>::Kind;

    const Operand& operand(int id) const { return run_.program.operand(id); }

    static int64_t index(const Operand& o, const Span& span) { return o.slot == RC_ROW ? span.row : span.index; }

    T* at(int id, const Operand& o, const Span& span, int64_t offset) const { return w_.base[id] + (index(o, span) + offset) * o.ld; }

    // The segments of a form that this run computes.
    std::span<const Segment> segments_of(const Form& form) const {
        const std::span<const Segment> all(form.segments);
        if (products_ == Products::all) return all;
        return products_ == Products::ahead ? all.first(size_t(form.ready)) : all.subspan(size_t(form.ready));
    }

    bool reads(int id) const {
        for (const Form& form : stage_.forms)
            for (const Segment& segment : segments_of(form))
                if (segment.operand == id) return true;
        return false;
    }

    // One pointer per row of the chunk for each operand that segments read.
    void point_at_rows() {
        if (run_.program.pairs)
            point_at_pairs();
        else
            point_at_numbers();
        if (tape_) tape_->rows(w_.pointers, int64_t(stage_.operands.size()) * chunk_.rows);
    }

    void point_at_numbers() {
        const T** next = w_.pointers;
        for (int id : stage_.operands) {
            const Operand& o = operand(id);
            for (int64_t s = 0; s < chunk_.span_count; ++s) {
                const T* row = at(id, o, chunk_.spans[s], 0);
                for (int64_t r = 0; r < chunk_.spans[s].count; ++r, row += o.ld) *next++ = row;
            }
        }
    }

    // The same, to the rows in bf16: every operand is rounded once for all forms and slabs.
    void point_at_pairs() {
        uint32_t* to = w_.pairs;
        auto next = reinterpret_cast<const uint32_t**>(w_.pointers);
        for (int id : stage_.operands) {
            if (products_ != Products::all && !reads(id)) {
                next += chunk_.rows;
                continue;
            }
            const Operand& o = operand(id);
            for (int64_t s = 0; s < chunk_.span_count; ++s)
                for (int64_t r = 0; r < chunk_.spans[s].count; ++r, to += pair_count(o.width)) {
                    const T* row = at(id, o, chunk_.spans[s], r);
                    k_.pair_neighbours(row, o.width, to);
                    if (tape_) tape_->move(Record::round, reinterpret_cast<T*>(to), row, o.width);
                    *next++ = to;
                }
        }
    }

    void find_due() {
        if (tape_ && !stage_.guards.empty()) tape_->refuse();  // each step's rows are its own
        if (w_.due.size() < stage_.guards.size()) w_.due.resize(stage_.guards.size());
        for (size_t i = 0; i < stage_.guards.size(); ++i) find_due(stage_.guards[i], w_.due[i]);
    }

    // Rows scattered one by one are computed with those between them: alone, a row costs as much as several of a block.
    void find_due(const Guard& guard, Due& due) {
        const Operand& o = operand(guard.operand);
        int64_t local = 0, rows = 0;
        due.count = 0;
        for (int64_t s = 0; s < chunk_.span_count; ++s) {
            const T* value = at(guard.operand, o, chunk_.spans[s], 0);
            for (int64_t r = 0; r < chunk_.spans[s].count; ++r, ++local, value += o.ld) {
                if ((*value != T(0)) != guard.when) continue;
                ++rows;
                if (due.count && due.runs[due.count - 1].first + due.runs[due.count - 1].count == local)
                    ++due.runs[due.count - 1].count;
                else
                    due.runs[due.count++] = {local, 1};
            }
        }
        if (rows < rows_of_a_run * due.count) {
            due.runs[0] = {due.runs[0].first, due.runs[due.count - 1].first + due.runs[due.count - 1].count - due.runs[0].first};
            due.count = 1;
        }
    }

    void run_rows() {
        for (const Form& form : stage_.forms)
            for (int64_t unit = 0; unit < form.width; unit += k_.slab) compute(form, unit, std::min<int64_t>(k_.slab, form.width - unit));
        if (products_ != Products::ahead) points_.run(0, 0);
    }

    // Units [unit, unit + width) of a form for the whole chunk. Whole vectors go straight to memory and start straight from a bias; the
    // rest takes the way through a tile.
    void compute(const Form& form, int64_t unit, int64_t width) {
        const std::span<const Segment> segments = segments_of(form);
        if (products_ == Products::ahead) return segments.empty() ? void() : compute_ahead(form, segments, unit, width);
        const Operand& d = operand(form.destination);
        const bool to_tile = d.place == Place::tile, whole = width % k_.lanes == 0;
        const bool direct = !to_tile && whole && !segments.empty() && (chunk_.span_count == 1 || in_one_call(segments));
        T* tile = to_tile ? w_.tiles + d.scratch * capacity_ + (stage_.by_rows ? unit : 0) : w_.tiles;
        const int64_t tile_stride = to_tile ? d.row_stride : k_.slab;
        const Start<T> start = start_of(form, segments, unit, width, tile, tile_stride);
        add_segments(segments, unit, width, direct ? memory_target(form.destination, d, unit) : Target<T>{tile, tile_stride}, start);
        if (!to_tile && !direct) write_out(form.destination, unit, width, tile);
    }

    // Whether the sum is whole after one call, so that nothing reads it where it lies.
    bool in_one_call(std::span<const Segment> segments) const { return stage_.guards.empty() && segments.size() <= most_products; }

    Target<T> memory_target(int id, const Operand& o, int64_t unit) {
        if (chunk_.span_count == 1) return {at(id, o, chunk_.spans[0], 0) + unit, o.ld};
        T** next = rows_;
        for (int64_t s = 0; s < chunk_.span_count; ++s) {
            T* row = at(id, o, chunk_.spans[s], 0) + unit;
            for (int64_t r = 0; r < chunk_.spans[s].count; ++r, row += o.ld) *next++ = row;
        }
        return {nullptr, 0, 0, rows_};
    }

    // Into rows of their own, which lie one after the other.
    void compute_ahead(const Form& form, std::span<const Segment> segments, int64_t unit, int64_t width) {
        T* target = share_.begun + form.ahead + unit;
        Start<T> start{};
        if (width % k_.lanes == 0 && starts_from_vector(form)) {
            start = {w_.base[form.initial] + unit, 0};
        } else if (form.initial >= 0) {
            fill(form, unit, width, target, share_.begun_width);
            start = {target, share_.begun_width};
        }
        add_segments(segments, unit, width, {target, share_.begun_width}, start);
    }

    // What a form's products are added to. Where there are none to add, the tile holds it.
    Start<T> start_of(const Form& form, std::span<const Segment> segments, int64_t unit, int64_t width, T* tile, int64_t stride) {
        if (products_ == Products::rest && form.ahead >= 0) {
            const Start<T> begun{share_.begun + form.ahead + unit, share_.begun_width};
            if (!segments.empty()) return begun;
            for (int64_t r = 0; r < chunk_.rows; ++r)
                copy(tile + r * stride, begun.first + r * begun.stride, round_up(width, k_.lanes));
            return begun;
        }
        if (width % k_.lanes == 0 && !segments.empty() && starts_from_vector(form)) return {w_.base[form.initial] + unit, 0};
        if (form.initial < 0 && !segments.empty()) return {};
        fill(form, unit, width, tile, stride);
        return {tile, stride};
    }

    // Where some rows may go without: what all rows need comes first, in one call, then the rest, to the rows that need it.
    void add_segments(std::span<const Segment> segments, int64_t unit, int64_t width, Target<T> target, Start<T> start) {
        const Due::Rows all{0, chunk_.rows};
        if (stage_.guards.empty()) return add_to(all, segments, unit, width, target, start);
        if (segments.empty()) return;
        Segment whole[most_products];
        size_t count = 0;
        const auto add_whole = [&] {
            if (count) add_to(all, {whole, count}, unit, width, target, start);
            if (count) start = {target.first, target.stride};
            count = 0;
        };
        for (const Segment& segment : segments) {
            if (segment.rows >= 0 && !w_.due[size_t(segment.rows)].all(chunk_.rows)) continue;
            whole[count++] = segment;
            if (count == most_products) add_whole();
        }
        add_whole();
        settle(width, target.first, target.stride, start);
        start = {target.first, target.stride};
        for (const Segment& segment : segments) {
            if (segment.rows < 0 || w_.due[size_t(segment.rows)].all(chunk_.rows)) continue;
            const Due& due = w_.due[size_t(segment.rows)];
            for (int i = 0; i < due.count; ++i) add_to(due.runs[i], {&segment, 1}, unit, width, target, start);
        }
    }

    // What the sums start from, where no product has taken it there.
    void settle(int64_t width, T* target, int64_t stride, Start<T> start) {
        const int64_t padded = round_up(width, k_.lanes);
        for (int64_t r = 0; r < chunk_.rows && start.first != target; ++r)
            if (start.first)
                std::memcpy(target + r * stride, start.first + r * start.stride, size_t(padded) * sizeof(T));
            else
                std::fill_n(target + r * stride, padded, T(0));
    }

    void add_to(Due::Rows rows, std::span<const Segment> segments, int64_t unit, int64_t width, Target<T> target, Start<T> start) {
        target.first += rows.first * target.stride;
        if (start.first) start.first += rows.first * start.stride;
        if (run_.program.pairs)
            add_to(k_.gemm_pairs, rows, segments, unit, width, target, start);
        else
            add_to(k_.gemm, rows, segments, unit, width, target, start);
    }

    template <class E> using Gemm = void (*)(int64_t, const Product<E>*, int, int, Target<T>, Start<T>, Ahead*);

    template <class E>
    void add_to(Gemm<E> gemm, Due::Rows rows, std::span<const Segment> segments, int64_t unit, int64_t width, Target<T> target, Start<T> start) {
        const auto pointers = reinterpret_cast<const E**>(w_.pointers) + rows.first;
        Product<E> products[most_products];
        for (size_t done = 0; done < segments.size(); done += most_products, start = {target.first, target.stride}) {
            const int count = int(std::min<size_t>(most_products, segments.size() - done));
            for (int i = 0; i < count; ++i) {
                const Segment& segment = segments[done + size_t(i)];
                const Matrix& m = run_.program.matrices[size_t(segment.matrix)];
                const int64_t depth = run_.program.pairs ? pair_count(m.depth()) : m.depth();
                products[i] = {pointers + segment.place * chunk_.rows, depth, reinterpret_cast<const E*>(run_.packs + m.pack_offset) + unit * depth};
            }
            multiply(gemm, rows.count, products, count, width, target, start);
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
                    put(tile, width, o ? T(o->value) : T(0));
                else
                    copy(tile, at(form.initial, *o, chunk_.spans[s], r) + unit, width);
                if (padded > width) put(tile + width, padded - width, T(0));
            }
    }

    static Record kind_of(const Product<T>*) { return Record::product; }
    template <class E> static Record kind_of(const Product<E>*) requires(!std::is_same_v<E, T>) { return Record::product_of_pairs; }

    void copy(T* to, const T* from, int64_t count) {
        std::memcpy(to, from, size_t(count) * sizeof(T));
        if (tape_) tape_->move(Record::copy, to, from, count);
    }

    void put(T* to, int64_t count, T value) {
        std::fill_n(to, count, value);
        if (tape_) tape_->move(Record::fill, to, nullptr, count, value);
    }

    // Panel by panel; the products are left at the last one.
    template <class E>
    void multiply(Gemm<E> gemm, int64_t rows, Product<E>* products, int count, int64_t width, Target<T> target, Start<T> start) {
        const auto pointers = reinterpret_cast<const E* const*>(w_.pointers);
        for (int64_t first = 0; first < width; first += k_.panel) {
            const int64_t panel = std::min<int64_t>(k_.panel, round_up(width - first, k_.lanes));
            const Start<T> own{start.first ? start.first + first : nullptr, start.stride};
            target.column = first;
            gemm(rows, products, count, int(panel), target, own, &w_.ahead);
            if (tape_) tape_->product(kind_of(products), rows, products, count, pointers, int(panel), target.first + first, target.stride, own);
            for (int i = 0; i < count; ++i) products[i].panel += k_.panel * products[i].depth;
        }
    }

    void write_out(int destination, int64_t unit, int64_t width, const T* tile) {
        const Operand& o = operand(destination);
        for (int64_t s = 0; s < chunk_.span_count; ++s)
            for (int64_t r = 0; r < chunk_.spans[s].count; ++r, tile += k_.slab)
                copy(at(destination, o, chunk_.spans[s], r) + unit, tile, width);
    }

    Worker<T>& w_;
    const Run<T>& run_;
    const Kernels<T>& k_;
    const Stage& stage_;
    const Chunk& chunk_;
    const Share<T>& share_;
    const Products products_;
    Tape<T>* const tape_;  // of the calls, where they are recorded
    const int64_t capacity_ = chunk_.rows;  // tiles lie one after the other, each for the chunk's rows
    T* rows_[everywhere_chunk];  // of a sum on its way to memory
    PointRun<T> points_;
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
