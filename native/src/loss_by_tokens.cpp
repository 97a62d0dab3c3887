// The loss with weights that stay in L2: every part takes tokens of its own through all classes, a chunk at a time. x is read and
// dx written where they lie, and threads meet twice, when W is packed and when the gradients of all parts are there:
//   logits  = x W^T        rows of x against packed W^T
//   dx      = dl W         rows of dl against packed W
//   dW^T   += x^T dl       the weight gradients' kernel: both sides run along the tokens
#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "loss_job.h"
#include "memory_pool.h"

namespace recell {

namespace {

constexpr int64_t near_bytes = int64_t(512) << 10;  // of W, which lies there twice, as does each part's dW
constexpr int64_t enough_tokens = 16;               // of a part: fewer would not pay for the packing
constexpr int64_t most_tokens = 96;                 // of a chunk: its logits and its rows of x stay near

template <class T> class Worker {
  public:
    Worker(ByTokens<T>& job, int id, int count) : job_(job), k_(job.k), id_(id), count_(count) {}

    void run() {
        pack();
        job_.barrier.wait(count_);
        for (int part = id_; part < job_.parts; part += count_) each_chunk(part);
        if (!job_.b.dweight && !job_.b.dbias) return;
        job_.barrier.wait(count_);
        for (size_t p = size_t(id_); p < job_.class_panels.size(); p += size_t(count_)) collect(job_.class_panels[p]);
    }

  private:
    T* turned(const Panel& p) const { return job_.turned + p.first * job_.inputs(); }
    T* packed(const Panel& p) const { return job_.packed + p.first * job_.classes(); }
    T* logits(const Panel& p) const { return s_->logits + p.first * job_.tokens; }
    T* dweight(const TokensScratch<T>& s, const Panel& p) const { return s.dweight + p.first * job_.inputs(); }
    int64_t row(int64_t token) const { return job_.rows[size_t(first_ + token)]; }

    // This thread's panels of W, both ways, and of what goes with the classes.
    void pack() {
        const int64_t inputs = job_.inputs(), classes = job_.classes();
        for (size_t i = size_t(id_); i < job_.class_panels.size(); i += size_t(count_)) {
            const Panel& p = job_.class_panels[i];
            k_.transpose(job_.b.weight + p.first * inputs, inputs, turned(p), p.width, p.valid, inputs);
            for (int64_t n = 0; n < inputs; ++n) std::fill(turned(p) + n * p.width + p.valid, turned(p) + (n + 1) * p.width, T(0));
            for (int64_t c = p.first; c < p.first + p.width; ++c) {
                const bool is_class = c < classes;
                job_.bias[c] = is_class && job_.b.bias ? job_.b.bias[c] : T(0);
                job_.weights[c] = is_class ? job_.class_weight(c) : T(0);
                job_.mask[c] = is_class ? T(0) : -std::numeric_limits<T>::infinity();
            }
        }
        if (!job_.b.dx) return;
        for (size_t i = size_t(id_); i < job_.input_panels.size(); i += size_t(count_)) {
            const Panel& p = job_.input_panels[i];
            for (int64_t c = 0; c < classes; ++c) {
                std::memcpy(packed(p) + c * p.width, job_.b.weight + c * inputs + p.first, size_t(p.valid) * sizeof(T));
                std::fill(packed(p) + c * p.width + p.valid, packed(p) + (c + 1) * p.width, T(0));
            }
        }
    }

    void each_chunk(int part) {
        s_ = &job_.scratch[size_t(part)];
        const Panel& last = job_.class_panels.back();
        if (job_.b.dweight) std::fill(s_->dweight, s_->dweight + job_.inputs() * (last.first + last.width), T(0));
        if (job_.b.dbias) std::fill(s_->dbias, s_->dbias + last.first + last.width, T(0));
        const int64_t all = int64_t(job_.rows.size()), end = all * (part + 1) / job_.parts;
        for (first_ = all * part / job_.parts; first_ < end; first_ += tokens_) {
            const int64_t chunks = (end - first_ + job_.tokens - 1) / job_.tokens;
            tokens_ = (end - first_ + chunks - 1) / chunks;
            forward();
            if (job_.gradients()) backward();
        }
    }

    void forward() {
        for (int64_t n = 0; n < tokens_; ++n) s_->rows[n] = job_.b.x + row(n) * job_.inputs();
        std::fill(s_->rows + tokens_, s_->rows + tokens_ + outer_ahead, s_->rows[tokens_ - 1]);
        std::fill(s_->maximum, s_->maximum + tokens_, std::numeric_limits<T>::lowest());
        for (T* each : {s_->total, s_->linear}) std::fill(each, each + tokens_, T(0));
        for (const Panel& p : job_.class_panels) {
            const Product<T> product{s_->rows, job_.inputs(), turned(p)};
            k_.gemm(tokens_, &product, 1, int(p.width), {logits(p), p.width}, {job_.bias + p.first, 0}, nullptr);
        }
        for (int64_t n = 0; n < tokens_; ++n) s_->target[n] = at_target(n);
        for (const Panel& p : job_.class_panels)
            k_.row_maxima(tokens_, p.width, logits(p), p.valid < p.width ? job_.mask + p.first : nullptr,
                          job_.smooths() ? job_.weights + p.first : nullptr, s_->maximum, s_->linear);
        for (const Panel& p : job_.class_panels) k_.row_exponentials(tokens_, p.width, logits(p), s_->maximum, s_->total);
        for (int64_t n = 0; n < tokens_; ++n) finish_token(n);
    }

    void finish_token(int64_t n) {
        const TokenLoss<T> found = job_.token_loss(row(n), s_->maximum[n], s_->total[n], s_->linear[n], s_->target[n]);
        job_.b.losses[row(n)] = found.loss;
        s_->scale[n] = found.scale;
        s_->share[n] = found.share;
        s_->onehot[n] = found.onehot;
    }

    T& at_target(int64_t n) {
        const int64_t target = job_.call.targets[row(n)];
        const Panel* p = job_.class_panels.data();
        while (target >= p->first + p->width) ++p;
        return logits(*p)[n * p->width + target - p->first];
    }

    void backward() {
        for (const Panel& p : job_.class_panels)
            k_.row_gradients(tokens_, p.width, logits(p), s_->scale, job_.smooths() ? s_->share : nullptr, job_.weights + p.first);
        for (int64_t n = 0; n < tokens_; ++n) at_target(n) -= s_->onehot[n];
        if (job_.b.dbias)
            for (const Panel& p : job_.class_panels) k_.accumulate(tokens_, p.width, s_->dbias + p.first, logits(p), p.width);
        if (job_.b.dx) write_dx();
        if (job_.b.dweight) add_dweight();
    }

    // Straight to where it lies; through a tile where rows are left out, or the panel is no whole number of vectors.
    void write_dx() {
        const bool in_a_row = row(tokens_ - 1) - row(0) == tokens_ - 1;
        for (const Panel& q : job_.input_panels) {
            products_.clear();
            for (size_t i = 0; i < job_.class_panels.size(); ++i) {
                const Panel& p = job_.class_panels[i];
                const T** rows = s_->dl_rows + int64_t(i) * job_.tokens;
                for (int64_t n = 0; n < tokens_; ++n) rows[n] = logits(p) + n * p.width;
                products_.push_back({rows, p.valid, packed(q) + p.first * q.width});
            }
            const bool direct = in_a_row && q.valid == q.width;
            T* to = direct ? job_.b.dx + row(0) * job_.inputs() + q.first : s_->tile;
            k_.gemm(tokens_, products_.data(), int(products_.size()), int(q.width), {to, direct ? job_.inputs() : q.width}, {nullptr, 0}, nullptr);
            for (int64_t n = 0; !direct && n < tokens_; ++n)
                std::copy_n(s_->tile + n * q.width, q.valid, job_.b.dx + row(n) * job_.inputs() + q.first);
        }
    }

    void add_dweight() {
        const int64_t blocks = (job_.inputs() + 5) / 6;  // equal ones, of 5 or 6 columns of x
        for (const Panel& p : job_.class_panels)
            for (int64_t b = 0; b < blocks; ++b) {
                const int64_t column = job_.inputs() * b / blocks, columns = job_.inputs() * (b + 1) / blocks - column;
                k_.outer(int(columns), s_->rows, column, tokens_, logits(p), int(p.width), dweight(*s_, p) + column * p.width, p.width);
            }
    }

    // The sum of the parts, for one panel of classes.
    void collect(const Panel& p) {
        TokensScratch<T>& all = job_.scratch[0];
        const auto add = [](T* to, const T* from, int64_t count) {
            for (int64_t i = 0; i < count; ++i) to[i] += from[i];
        };
        for (size_t part = 1; part < job_.scratch.size(); ++part) {
            if (job_.b.dweight) add(dweight(all, p), dweight(job_.scratch[part], p), job_.inputs() * p.width);
            if (job_.b.dbias) add(all.dbias + p.first, job_.scratch[part].dbias + p.first, p.valid);
        }
        if (job_.b.dweight)
            k_.transpose(dweight(all, p), p.width, job_.b.dweight + p.first * job_.inputs(), job_.inputs(), job_.inputs(), p.valid);
        if (job_.b.dbias) std::copy_n(all.dbias + p.first, p.valid, job_.b.dbias + p.first);
    }

    ByTokens<T>& job_;
    const Kernels<T>& k_;
    TokensScratch<T>* s_ = nullptr;
    int id_, count_;
    int64_t first_ = 0, tokens_ = 0;
    std::vector<Product<T>> products_;
};

int64_t whole(const std::vector<Panel>& panels) { return panels.back().first + panels.back().width; }

template <class T> void place(ByTokens<T>& job, Cutter& cut) {
    const int64_t classes = whole(job.class_panels), inputs = job.inputs(), tokens = job.tokens;
    job.turned = cut.take<T>(inputs * classes);
    if (job.b.dx) job.packed = cut.take<T>(job.classes() * whole(job.input_panels));
    for (T** each : {&job.bias, &job.weights, &job.mask}) *each = cut.take<T>(classes);
    job.scratch.resize(size_t(job.parts));
    for (TokensScratch<T>& s : job.scratch) {
        s.logits = cut.take<T>(tokens * classes);
        s.dweight = cut.take<T>(job.b.dweight ? inputs * classes : 0);
        s.dbias = cut.take<T>(job.b.dbias ? classes : 0);
        s.tile = cut.take<T>(tokens * job.k.panel);
        for (T** each : {&s.maximum, &s.total, &s.linear, &s.target, &s.scale, &s.share, &s.onehot}) *each = cut.take<T>(tokens);
        s.rows = cut.take<const T*>(tokens + outer_ahead);
        s.dl_rows = cut.take<const T*>(int64_t(job.class_panels.size()) * tokens);
    }
}

}  // namespace

template <class T> bool suits_tokens(const LossTask<T>& task) {
    const int64_t bytes = round_up(task.classes(), task.k.lanes) * task.inputs() * int64_t(sizeof(T));
    return task.inputs() > 0 && bytes <= near_bytes && int64_t(task.rows.size()) >= enough_tokens;
}

template <class T> void run_by_tokens(LossTask<T>& task) {
    ByTokens<T> job{std::move(task)};
    const int64_t most = job.call.chunk > 0 ? std::min(job.call.chunk, most_tokens) : most_tokens;
    job.parts = int(std::clamp<int64_t>(int64_t(job.rows.size()) / enough_tokens, 1, job.parts));
    job.tokens = std::min(most, int64_t(job.rows.size()));
    job.class_panels = job.panels(job.classes());
    job.input_panels = job.panels(job.inputs());
    Cutter count(nullptr);
    place(job, count);
    PoolBlock memory(count.used);
    Cutter cut(memory.data());
    place(job, cut);
    run_team(job.parts, [](void* data, int id, int threads) { Worker<T>(*static_cast<ByTokens<T>*>(data), id, threads).run(); }, &job);
}

template bool suits_tokens(const LossTask<float>&);
template bool suits_tokens(const LossTask<double>&);
template void run_by_tokens(LossTask<float>&);
template void run_by_tokens(LossTask<double>&);

}  // namespace recell
