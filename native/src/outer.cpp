// Weight gradients C = sum over (t, row) of a^T b. Blocks of `outer_depth` rows: b is packed in panels as weights are, a is read
// where it lies, 96 columns at a time so that they stay in L2 while all of b passes. Each part owns whole columns of a, or panels
// of b where a is narrow: no meeting, no shared sums. b is packed by every part for itself, which costs about 1 % and saves a
// barrier per block. Beside scans, each part has the whole gradients of its own rows, which it has just made, and they are added at
// the end, in the order of parts.
#include <algorithm>
#include <cstring>

#include "worker.h"

namespace recell {

namespace {

constexpr int64_t block_columns = 6, group_columns = 96;

void add_pair(Sides& sides, const Pair& pair, const Program& p, int64_t lanes) {
    sides.pairs.push_back(pair);
    if (std::find(sides.a.begin(), sides.a.end(), pair.a) == sides.a.end()) sides.a.push_back(pair.a);
    if (std::find(sides.b.begin(), sides.b.end(), pair.b) != sides.b.end()) return;
    sides.b.push_back(pair.b);
    sides.b_offset.push_back(sides.b_elements);
    sides.b_elements += round_up(p.operand(pair.b).width, lanes) * (p.pairs ? outer_depth / 2 : outer_depth);
}

template <class T> class Outer {
  public:
    // `part` of `parts` of the columns of every gradient; whole gradients of rows of its own where `sums` is given, which holds them.
    Outer(Worker<T>& worker, const Sides& sides, int part, int parts, T* sums)
        : run_(worker.run), k_(worker.run.kernels), sides_(sides), part_(part), parts_(parts), sums_(sums), packed_b_(worker.outer) {}

    void clear() {
        for (const Pair& pair : sides_.pairs) clear(pair);
    }

    void add(Range steps, Range rows) {
        step_ = steps.first, last_step_ = steps.last, row_ = rows.first, rows_of_step_ = rows;
        while (number_rows()) {
            pack_b();
            for (int a : sides_.a) run_columns(a);
        }
    }

  private:
    const Operand& operand(int id) const { return run_.program.operand(id); }

    // Narrow a: the parts split b instead.
    bool splits_a(const Operand& a) const { return a.width >= 2 * block_columns * parts_ || parts_ == 1; }

    Range a_columns(const Operand& a) const {
        if (!splits_a(a)) return {0, a.width};
        const int64_t blocks = (a.width + block_columns - 1) / block_columns;
        return {blocks * part_ / parts_ * block_columns, std::min(a.width, blocks * (part_ + 1) / parts_ * block_columns)};
    }

    Range b_columns(const Operand& a, const Operand& b) const {
        if (splits_a(a)) return {0, b.width};
        const int64_t panels = (b.width + k_.panel - 1) / k_.panel;
        return {panels * part_ / parts_ * k_.panel, std::min(b.width, panels * (part_ + 1) / parts_ * k_.panel)};
    }

    void clear(const Pair& pair) {
        const Operand &a = operand(pair.a), &b = operand(pair.b);
        const Range rows = a_columns(a), columns = b_columns(a, b);
        T* c = sum(pair);
        const int64_t ld = leading(pair);
        if (columns.first >= columns.last) return;
        for (int64_t r = rows.first; r < rows.last; ++r)
            std::fill(c + r * ld + columns.first, c + r * ld + columns.last, T(0));
    }

    T* sum(const Pair& pair) const { return sums_ ? sums_ + pair.sum : run_.buffer(pair.buffer) + pair.offset; }
    int64_t leading(const Pair& pair) const { return sums_ ? operand(pair.b).width : pair.ld; }

    // The step and row of the next block's valid pairs that count, as row indices: [0, depth) of the flat one, then of the row alone.
    bool number_rows() {
        const Operand* guard = sides_.guard.operand < 0 ? nullptr : &operand(sides_.guard.operand);
        const T* value = guard ? base(*guard) : nullptr;
        for (depth_ = 0; depth_ < outer_depth && step_ < last_step_; ++row_) {
            if (row_ >= std::min(rows_of_step_.last, run_.active(step_))) {
                ++step_, row_ = rows_of_step_.first - 1;
                continue;
            }
            const int64_t flat = step_ * run_.rows() + row_;
            if (guard && (value[(guard->slot == RC_ROW ? row_ : flat) * guard->ld] != T(0)) != sides_.guard.when) continue;
            flat_[depth_] = flat;
            row_number_[depth_++] = row_;
        }
        return depth_ > 0;
    }

    const T* base(const Operand& o) const {
        const bool shifted = run_.call.reverse ? o.slot == RC_PREVIOUS : o.slot == RC_NEW;
        return run_.buffer(o.buffer) + o.column + (shifted ? run_.rows() * o.ld : 0);
    }

    const int64_t* indices(const Operand& o) const { return o.slot == RC_ROW ? row_number_ : flat_; }

    void pack_b() {
        for (size_t i = 0; i < sides_.b.size(); ++i) {
            const Operand& o = operand(sides_.b[i]);
            const T* from = base(o);
            const int64_t* index = indices(o);
            if (run_.program.pairs) {
                for (int64_t k = 0; k < pair_count(depth_); ++k) pack_pair_row(o, 2 * k, b_pairs() + sides_.b_offset[i], k);
                continue;
            }
            for (int64_t k = 0; k < depth_; ++k)  // whole rows, as they lie in memory: the hardware fetches ahead
                pack_row(from + index[k] * o.ld, o.width, packed_b_ + sides_.b_offset[i], k);
        }
    }

    uint32_t* b_pairs() { return reinterpret_cast<uint32_t*>(packed_b_); }
    uint32_t* a_pairs() { return b_pairs() + sides_.b_elements; }

    // Rows k and k + 1 of an operand from column `first` on, element by element.
    void pair_rows(const Operand& o, int64_t k, int64_t first, int64_t columns, uint32_t* to) {
        const int64_t* index = indices(o);
        const T* row = base(o) + index[k] * o.ld + first;
        const T* next = base(o) + index[std::min(k + 1, depth_ - 1)] * o.ld + first;
        k_.pair_rows(row, next, columns, to);
        if (k + 1 == depth_)  // no neighbour: nothing is added for it
            for (int64_t i = 0; i < columns; ++i) to[i] &= 0xffffu;
    }

    // Pairs (k, k + 1) of every panel.
    void pack_pair_row(const Operand& o, int64_t k, uint32_t* panels, int64_t pair) {
        for (int64_t first = 0; first < o.width; first += k_.panel) {
            const int64_t valid = std::min<int64_t>(k_.panel, o.width - first), width = round_up(valid, k_.lanes);
            uint32_t* to = panels + first * pair_count(depth_) + pair * width;
            pair_rows(o, k, first, valid, to);
            std::fill(to + valid, to + width, 0u);
        }
    }

    // Row k of every panel.
    void pack_row(const T* from, int64_t columns, T* panels, int64_t k) {
        for (int64_t first = 0; first < columns; first += k_.panel) {
            const int64_t valid = std::min<int64_t>(k_.panel, columns - first), width = round_up(valid, k_.lanes);
            T* to = panels + first * depth_ + k * width;
            std::memcpy(to, from + first, size_t(valid) * sizeof(T));
            std::fill(to + valid, to + width, T(0));
        }
    }

    void run_columns(int a) {
        const Operand& o = operand(a);
        const Range mine = a_columns(o);
        for (int64_t k = 0; k < depth_ + outer_ahead; ++k) rows_[k] = base(o) + indices(o)[std::min(k, depth_ - 1)] * o.ld;
        for (int64_t k = 0; run_.program.pairs && k < pair_count(depth_) + outer_ahead; ++k) pair_rows_[k] = a_pairs() + k * group_columns;
        for (int64_t group = mine.first; group < mine.last; group += group_columns) {
            const int64_t columns = std::min<int64_t>(group_columns, mine.last - group);
            for (int64_t k = 0; run_.program.pairs && k < depth_; k += 2) pair_rows(o, k, group, columns, a_pairs() + k / 2 * group_columns);
            for (const Pair& pair : sides_.pairs)
                if (pair.a == a) run_pair(pair, group, columns);
        }
    }

    void run_pair(const Pair& pair, int64_t group, int64_t columns) {
        const Operand &a = operand(pair.a), &b = operand(pair.b);
        const size_t side = size_t(std::find(sides_.b.begin(), sides_.b.end(), pair.b) - sides_.b.begin());
        const Range mine = b_columns(a, b);
        const int64_t ld = leading(pair);
        T* c = sum(pair) + group * ld;
        for (int64_t first = mine.first; first < mine.last; first += k_.panel) {
            const int64_t valid = std::min<int64_t>(k_.panel, b.width - first);
            const int64_t depth = run_.program.pairs ? pair_count(depth_) : depth_, panel = sides_.b_offset[side] + first * depth;
            for (int64_t column = 0; column < columns; column += block_columns) {
                const int64_t count = std::min(block_columns, columns - column);
                T* target = c + column * ld + first;
                for (int64_t r = 0; r < count; ++r)
                    for (int64_t i = 0; i < valid; i += 64 / int64_t(sizeof(T))) __builtin_prefetch(target + r * ld + i, 1);
                if (run_.program.pairs)
                    k_.outer_pairs(int(count), pair_rows_, column, depth, b_pairs() + panel, int(valid), target, ld);
                else
                    k_.outer(int(count), rows_, group + column, depth, packed_b_ + panel, int(valid), target, ld);
            }
        }
    }

    const Run<T>& run_;
    const Kernels<T>& k_;
    const Sides& sides_;
    int part_, parts_;
    T *sums_, *packed_b_;
    const T* rows_[outer_depth + outer_ahead];  // of a
    const uint32_t* pair_rows_[outer_depth / 2 + outer_ahead];  // of a's group
    int64_t flat_[outer_depth], row_number_[outer_depth];
    int64_t depth_ = 0, step_ = 0, last_step_ = 0, row_ = 0;
    Range rows_of_step_{0, 0};
};

}  // namespace

int64_t prepare_outer(const Program& p, Phase& phase, const Layout& layout) {
    for (Pair& pair : phase.pairs) {
        pair.sum = phase.sum_elements;
        phase.sum_elements += round_up(p.operand(pair.a).width * p.operand(pair.b).width, layout.slab);
        auto found = std::find_if(phase.sides.begin(), phase.sides.end(), [&](const Sides& s) { return s.guard == pair.guard; });
        if (found == phase.sides.end()) found = phase.sides.insert(found, {pair.guard});
        add_pair(*found, pair, p, layout.lanes);
    }
    int64_t most = 0;
    for (const Sides& sides : phase.sides) most = std::max(most, sides.b_elements);
    return most + (p.pairs ? group_columns * (outer_depth / 2 + 1) : 0);
}

template <class T> void run_outer(Worker<T>& w, const Phase& phase) {
    for (const Sides& sides : phase.sides)
        for (int part = w.id; part < w.run.parts; part += w.count) {
            Outer<T> outer(w, sides, part, w.run.parts, nullptr);
            outer.clear();
            outer.add({0, w.run.steps()}, {0, w.run.rows()});
        }
    w.barrier();
}

template <class T> void clear_outer(Worker<T>& w, const Phase& phase, int part) { std::fill_n(w.part_sums(part), phase.sum_elements, T(0)); }

template <class T> void add_outer(Worker<T>& w, const Phase& phase, int part, Range steps, Range rows) {
    for (const Sides& sides : phase.sides) Outer<T>(w, sides, 0, 1, w.part_sums(part)).add(steps, rows);
}

template <class T> void write_outer(Worker<T>& w, const Phase& phase) {
    w.barrier();
    for (const Pair& pair : phase.pairs) {
        const int64_t rows = w.run.program.operand(pair.a).width, columns = w.run.program.operand(pair.b).width;
        for (int64_t r = rows * w.id / w.count; r < rows * (w.id + 1) / w.count; ++r) {
            T* out = w.run.buffer(pair.buffer) + pair.offset + r * pair.ld;
            std::copy_n(w.part_sums(0) + pair.sum + r * columns, columns, out);
            for (int part = 1; part < w.run.parts; ++part) {
                const T* more = w.part_sums(part) + pair.sum + r * columns;
                for (int64_t c = 0; c < columns; ++c) out[c] += more[c];
            }
        }
    }
    w.barrier();
}

template void run_outer(Worker<float>&, const Phase&);
template void run_outer(Worker<double>&, const Phase&);
template void clear_outer(Worker<float>&, const Phase&, int);
template void clear_outer(Worker<double>&, const Phase&, int);
template void add_outer(Worker<float>&, const Phase&, int, Range, Range);
template void add_outer(Worker<double>&, const Phase&, int, Range, Range);
template void write_outer(Worker<float>&, const Phase&);
template void write_outer(Worker<double>&, const Phase&);

}  // namespace recell
