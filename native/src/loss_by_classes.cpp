// The loss with W larger than the caches, a chunk of tokens at a time. The chunk's logits lie class by class,
// in panels of tokens, and so every product reads the large matrices where they lie:
//   logits^T = W x^T       rows of W against packed x^T
//   dx^T    += W^T dl^T    the weight gradients' kernel: both sides run along the classes
//   dW      += dl^T x      rows of dl^T against packed x
// Only the chunk's x is ever packed. Each part owns a range of classes: its logits, its rows of dW; dx^T is summed over parts.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "loss_job.h"
#include "memory_pool.h"

namespace recell {

namespace {

constexpr int64_t column_blocks = 16;                 // of 6 columns of W, that stay near while all tokens pass
constexpr int64_t most_classes = 48;                  // of a block: its rows of W and of dW stay in L2
constexpr int64_t held_bytes = int64_t(6) << 20;      // a chunk's logits: within L3, with W and dW passing through
constexpr int64_t packed_bytes = int64_t(512) << 10;  // a chunk's x, which lies there twice, as does dx
constexpr int64_t enough_tokens = 128;                // beyond it, dW is not read and written much less often
constexpr int64_t most_tokens = 512;

template <class T> class Worker {
  public:
    Worker(ByClasses<T>& job, int id, int count) : job_(job), k_(job.k), s_(job.scratch[size_t(id)]), id_(id), count_(count) {}

    void run() {
        const int64_t valid = int64_t(job_.rows.size());
        for (first_ = 0; first_ < valid; first_ += job_.tokens) {
            split(std::min(job_.tokens, valid - first_));
            each_share(&Worker::pack);
            meet();
            each_part(&Worker::forward);
            meet();
            finish_rows();
            if (!job_.gradients()) continue;
            meet();
            each_part(&Worker::backward);
            meet();
            if (job_.b.dx) each_share(&Worker::write_dx);
            meet();
        }
    }

  private:
    void meet() { job_.barrier.wait(count_); }

    void each_part(void (Worker::*body)(int64_t)) {
        for (int64_t part = id_; part < job_.parts; part += count_) (this->*body)(part);
    }

    // Panels of inputs, in turn.
    void each_share(void (Worker::*body)(int64_t)) {
        for (int64_t column = id_ * k_.panel; column < job_.inputs(); column += count_ * k_.panel) (this->*body)(column);
    }

    void split(int64_t tokens) {
        tokens_ = tokens;
        panels_ = job_.panels(tokens);
        padded_ = panels_.back().first + panels_.back().width;
    }

    int64_t row(int64_t token) const { return job_.rows[size_t(first_ + token)]; }
    int64_t target(int64_t token) const { return job_.call.targets[row(token)]; }
    int64_t width_of(int64_t column) const { return std::min<int64_t>(k_.panel, round_up(job_.inputs() - column, k_.lanes)); }
    T* logits(const Panel& p, int64_t c) const { return job_.logits + p.first * job_.classes() + c * p.width; }
    T* turned(T* panels, const Panel& p) const { return panels + p.first * job_.inputs(); }
    T* packed(int64_t column) const { return job_.x_packed + column * padded_; }
    T* dx_turned(int64_t part) const { return job_.dx_turned + part * job_.inputs() * job_.tokens; }

    // One panel of inputs: x as it is, for dW, and turned, for the logits. Tokens beyond the last are zeros.
    void pack(int64_t column) {
        const int64_t width = width_of(column), valid = std::min(width, job_.inputs() - column);
        T* to = packed(column);
        for (int64_t n = 0; n < tokens_; ++n) {
            std::memcpy(to + n * width, job_.b.x + row(n) * job_.inputs() + column, size_t(valid) * sizeof(T));
            std::fill(to + n * width + valid, to + (n + 1) * width, T(0));
        }
        std::fill(to + tokens_ * width, to + padded_ * width, T(0));
        for (const Panel& p : panels_)
            k_.transpose(to + p.first * width, width, turned(job_.x_turned, p) + column * p.width, p.width, p.width, valid);
    }

    int64_t first_block(int64_t part) const { return job_.blocks * part / job_.parts; }
    int64_t classes_before(int64_t block) const { return job_.classes() * block / job_.blocks; }

    void forward(int64_t part) {
        T *largest = job_.largest + part * job_.tokens, *total = job_.total + part * job_.tokens, *linear = job_.linear + part * job_.tokens;
        std::fill(largest, largest + padded_, std::numeric_limits<T>::lowest());
        std::fill(total, total + padded_, T(0));
        std::fill(linear, linear + padded_, T(0));
        for (int64_t block = first_block(part); block < first_block(part + 1); ++block) {
            const int64_t c = classes_before(block), count = classes_before(block + 1) - c;
            for (int64_t r = 0; r < count; ++r) s_.pointers[r] = job_.b.weight + (c + r) * job_.inputs();
            ahead_.clear();
            ahead_.add(job_.b.weight + (c + count) * job_.inputs(), weight_bytes(c + count, count));
            for (const Panel& p : panels_) {
                const Product<T> product{s_.pointers, job_.inputs(), turned(job_.x_turned, p)};
                T* tile = job_.gradients() ? logits(p, c) : s_.tile;
                k_.gemm(count, &product, 1, int(p.width), {tile, p.width}, {nullptr, 0}, &ahead_);
                read_targets(p, c, count, tile);
                k_.exponentials(count, p.width, tile, job_.b.bias ? job_.b.bias + c : nullptr, largest + p.first, total + p.first,
                                job_.b.class_weights ? job_.b.class_weights + c : nullptr, job_.smooths() ? linear + p.first : nullptr);
            }
            if (job_.gradients()) std::copy(largest, largest + padded_, job_.maxima + block * job_.tokens);
        }
    }

    int64_t weight_bytes(int64_t c, int64_t count) const {
        return std::min(count, job_.classes() - c) * job_.inputs() * int64_t(sizeof(T));
    }

    void read_targets(const Panel& p, int64_t c, int64_t count, const T* tile) {
        for (int64_t n = 0; n < p.valid; ++n) {
            const int64_t own = target(p.first + n) - c;
            if (own < 0 || own >= count) continue;
            job_.target_logits[p.first + n] = tile[own * p.width + n] + (job_.b.bias ? job_.b.bias[c + own] : T(0));
        }
    }

    // The parts' maxima and sums become the rows' own, each thread's share of the tokens.
    void finish_rows() {
        const int64_t first = padded_ * id_ / count_, end = padded_ * (id_ + 1) / count_;
        for (T* each : {job_.maximum, job_.scale, job_.share, job_.onehot}) std::fill(each + first, each + end, T(0));
        for (int64_t n = first; n < std::min(end, tokens_); ++n) {
            T largest = job_.largest[n], total = 0, linear = 0;
            for (int64_t p = 1; p < job_.parts; ++p) largest = std::max(largest, job_.largest[p * job_.tokens + n]);
            for (int64_t p = 0; p < job_.parts; ++p) {
                total += job_.total[p * job_.tokens + n] * std::exp(job_.largest[p * job_.tokens + n] - largest);
                linear += job_.linear[p * job_.tokens + n];
            }
            const TokenLoss<T> found = job_.token_loss(row(n), largest, total, linear, job_.target_logits[n]);
            job_.b.losses[row(n)] = found.loss;
            job_.maximum[n] = largest;
            job_.scale[n] = found.scale;
            job_.share[n] = found.share;
            job_.onehot[n] = found.onehot;
        }
    }

    void backward(int64_t part) {
        if (job_.b.dx) std::fill(dx_turned(part), dx_turned(part) + job_.inputs() * padded_, T(0));
        const int64_t end = first_block(part + 1);
        for (int64_t block = first_block(part); block < end; block += group_blocks) {
            const int64_t last = std::min(end, block + group_blocks), c = classes_before(block), count = classes_before(last) - c;
            for (int64_t b = block; b < last; ++b) differentiate(b);
            subtract_targets(c, count);
            if (job_.b.dbias) add_dbias(c, count);
            if (job_.b.dx) add_dx(part, c, count);
            if (job_.b.dweight)
                for (int64_t b = block; b < last; ++b) add_dweight(classes_before(b), classes_before(b + 1) - classes_before(b));
        }
    }

    void differentiate(int64_t block) {
        const int64_t c = classes_before(block), count = classes_before(block + 1) - c;
        const T* weights = job_.b.class_weights && job_.smooths() ? job_.b.class_weights + c : nullptr;
        for (const Panel& p : panels_)
            k_.logit_gradients(count, p.width, logits(p, c), job_.maxima + block * job_.tokens + p.first, job_.maximum + p.first,
                               job_.scale + p.first, weights, job_.smooths() ? job_.share + p.first : nullptr);
    }

    void subtract_targets(int64_t c, int64_t count) {
        for (const Panel& p : panels_)
            for (int64_t n = 0; n < p.valid; ++n) {
                const int64_t own = target(p.first + n) - c;
                if (own >= 0 && own < count) logits(p, c + own)[n] -= job_.onehot[p.first + n];
            }
    }

    void add_dbias(int64_t c, int64_t count) {
        T* to = job_.b.dbias + c;
        if (first_ == 0) std::fill(to, to + count, T(0));
        for (const Panel& p : panels_) {
            const Address<T> rows{logits(p, c), p.width, -1};
            k_.point[op_sum](count, p.width, {s_.sums, 1, -1}, rows, rows, rows);
            for (int64_t r = 0; r < count; ++r) to[r] += s_.sums[r];
        }
    }

    void add_dx(int64_t part, int64_t c, int64_t count) {
        const int64_t blocks = (job_.inputs() + 5) / 6;  // equal ones, of 5 or 6 columns
        for (int64_t r = 0; r < count + outer_ahead; ++r)
            s_.pointers[r] = job_.b.weight + std::min(c + r, job_.classes() - 1) * job_.inputs();
        for (int64_t group = 0; group < blocks; group += column_blocks)
            for (const Panel& p : panels_)
                for (int64_t b = group; b < std::min(blocks, group + column_blocks); ++b) {
                    const int64_t column = job_.inputs() * b / blocks, columns = job_.inputs() * (b + 1) / blocks - column;
                    k_.outer(int(columns), s_.pointers, column, count, logits(p, c), int(p.width),
                             turned(dx_turned(part), p) + column * p.width, p.width);
                }
    }

    void add_dweight(int64_t c, int64_t count) {
        T* to = job_.b.dweight + c * job_.inputs();
        products_.clear();
        for (size_t i = 0; i < panels_.size(); ++i) {
            const T** rows = s_.pointers + int64_t(i) * job_.block;
            for (int64_t r = 0; r < count; ++r) rows[r] = logits(panels_[i], c + r);
            products_.push_back({rows, panels_[i].valid, nullptr});
        }
        ahead_.clear();
        if (first_) ahead_.add(to + count * job_.inputs(), weight_bytes(c + count, count));
        ahead_.add(job_.b.weight + std::min(c + group_blocks * count, job_.classes() - 1) * job_.inputs(),
                   weight_bytes(std::min(c + group_blocks * count, job_.classes()), count));
        for (int64_t column = 0; column < job_.inputs(); column += k_.panel) {
            const int64_t width = width_of(column), valid = std::min(width, job_.inputs() - column);
            for (size_t i = 0; i < panels_.size(); ++i) products_[i].panel = packed(column) + panels_[i].first * width;
            if (valid == width)
                k_.gemm(count, products_.data(), int(products_.size()), int(width), {to + column, job_.inputs()},
                        {first_ ? to + column : nullptr, job_.inputs()}, &ahead_);
            else
                add_narrow(to + column, count, width, valid);
        }
    }

    // The last panel of inputs, where it is no whole number of vectors: through a tile, lest the next row be written.
    void add_narrow(T* to, int64_t count, int64_t width, int64_t valid) {
        k_.gemm(count, products_.data(), int(products_.size()), int(width), {s_.tile, width}, {nullptr, 0}, nullptr);
        for (int64_t r = 0; r < count; ++r, to += job_.inputs())
            for (int64_t i = 0; i < valid; ++i) to[i] = (first_ ? to[i] : T(0)) + s_.tile[r * width + i];
    }

    // One panel of inputs of all the chunk's rows: the parts' sums, turned back.
    void write_dx(int64_t column) {
        const int64_t valid = std::min<int64_t>(k_.panel, job_.inputs() - column);
        for (const Panel& p : panels_) {
            T* sum = turned(dx_turned(0), p) + column * p.width;
            for (int64_t part = 1; part < job_.parts; ++part) {
                const T* other = turned(dx_turned(part), p) + column * p.width;
                for (int64_t i = 0; i < valid * p.width; ++i) sum[i] += other[i];
            }
            for (int64_t n = 0, next; n < p.valid; n = next) {  // runs of rows with none ignored between them
                for (next = n + 1; next < p.valid && row(p.first + next) == row(p.first + next - 1) + 1;) ++next;
                k_.transpose(sum + n, p.width, job_.b.dx + row(p.first + n) * job_.inputs() + column, job_.inputs(), valid, next - n);
            }
        }
    }

    ByClasses<T>& job_;
    const Kernels<T>& k_;
    ClassesScratch<T>& s_;
    int id_, count_;
    int64_t first_ = 0, tokens_ = 0, padded_ = 0;
    std::vector<Panel> panels_;
    std::vector<Product<T>> products_;
    Ahead ahead_{};
};

template <class T> void place(ByClasses<T>& job, Cutter& cut) {
    const int64_t wide = round_up(job.inputs(), job.k.lanes), tokens = job.tokens;
    if (job.gradients()) {
        job.logits = cut.take<T>(tokens * job.classes());
        job.maxima = cut.take<T>(job.blocks * tokens);
    }
    job.x_turned = cut.take<T>(job.inputs() * tokens);
    job.x_packed = cut.take<T>(wide * tokens);
    if (job.b.dx) job.dx_turned = cut.take<T>(job.parts * job.inputs() * tokens);
    for (T** each : {&job.largest, &job.total, &job.linear}) *each = cut.take<T>(job.parts * tokens);
    for (T** each : {&job.target_logits, &job.maximum, &job.scale, &job.share, &job.onehot}) *each = cut.take<T>(tokens);
    job.scratch.resize(size_t(job.parts));
    const int64_t panels = (tokens + job.k.panel - 1) / job.k.panel;
    for (ClassesScratch<T>& s : job.scratch) {
        s.tile = cut.take<T>(job.block * job.k.panel);
        s.sums = cut.take<T>(group_blocks * job.block);
        s.pointers = cut.take<const T*>((panels + 1) * (group_blocks * job.block + outer_ahead));
    }
}

// As few chunks as the caches allow, of equal size. With gradients, at most a sixteenth of all rows unless L3 holds more.
template <class T> int64_t chunk_tokens(const ByClasses<T>& job) {
    const int64_t lanes = job.k.lanes, valid = int64_t(job.rows.size()), item = int64_t(sizeof(T));
    int64_t most = std::clamp(packed_bytes / std::max<int64_t>(1, job.inputs() * item), enough_tokens, most_tokens);
    if (job.gradients()) most = std::min(most, std::max(held_bytes / (job.classes() * item), std::min(enough_tokens, valid / 16)));
    if (job.call.chunk > 0) most = round_up(job.call.chunk, lanes);
    most = std::max(lanes, most / lanes * lanes);
    const int64_t chunks = std::max<int64_t>(1, (valid + most - 1) / most);
    return std::max(lanes, round_up((valid + chunks - 1) / chunks, lanes));
}

template <class T> void choose_split(ByClasses<T>& job) {
    job.parts = int(std::min<int64_t>(job.parts, job.classes()));
    const int64_t share = (job.classes() + job.parts - 1) / job.parts;
    job.blocks = job.parts * ((share + most_classes - 1) / most_classes);
    job.block = (job.classes() + job.blocks - 1) / job.blocks;
    job.tokens = chunk_tokens(job);
}

}  // namespace

template <class T> void run_by_classes(LossTask<T>& task) {
    ByClasses<T> job{std::move(task)};
    choose_split(job);
    Cutter count(nullptr);
    place(job, count);
    PoolBlock memory(count.used);
    Cutter cut(memory.data());
    place(job, cut);
    run_team(job.parts, [](void* data, int id, int threads) { Worker<T>(*static_cast<ByClasses<T>*>(data), id, threads).run(); }, &job);
}

template void run_by_classes(LossTask<float>&);
template void run_by_classes(LossTask<double>&);

}  // namespace recell
