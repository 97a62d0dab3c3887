// The loss's call: what it is checked for, how it is cut into chunks, blocks and parts, and where its scratch lies.
#include "loss.h"

#include <algorithm>

#include "error.h"
#include "loss_job.h"
#include "memory_pool.h"

namespace recell {

namespace {

constexpr int64_t most_parts = 256;
constexpr double worth_threads = 1e6;                 // flops below which waking a team costs more
constexpr int64_t most_classes = 48;                  // of a block: its rows of W and of dW stay in L2
constexpr int64_t held_bytes = int64_t(6) << 20;      // a chunk's logits: within L3, with W and dW passing through
constexpr int64_t packed_bytes = int64_t(512) << 10;  // a chunk's x, which lies there twice, as does dx
constexpr int64_t enough_tokens = 128;                // beyond it, dW is not read and written much less often
constexpr int64_t most_tokens = 512;

// Cuts one block of memory; the first pass, with none, counts.
class Cutter {
  public:
    explicit Cutter(char* memory) : memory_(memory) {}
    template <class E> E* take(int64_t elements) {
        char* block = memory_ ? memory_ + used : nullptr;
        used += round_up(elements * int64_t(sizeof(E)), 64);
        return reinterpret_cast<E*>(block);
    }
    int64_t used = 0;

  private:
    char* memory_;
};

template <class T> void place(LossJob<T>& job, Cutter& cut) {
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
    for (LossScratch<T>& s : job.scratch) {
        s.tile = cut.take<T>(job.block * job.k.panel);
        s.sums = cut.take<T>(group_blocks * job.block);
        s.pointers = cut.take<const T*>((panels + 1) * (group_blocks * job.block + outer_ahead));
    }
}

// As few chunks as the caches allow, of equal size. With gradients, at most a sixteenth of all rows unless L3 holds more.
template <class T> int64_t chunk_tokens(const LossJob<T>& job) {
    const int64_t lanes = job.k.lanes, valid = int64_t(job.rows.size()), item = int64_t(sizeof(T));
    int64_t most = std::clamp(packed_bytes / std::max<int64_t>(1, job.inputs() * item), enough_tokens, most_tokens);
    if (job.gradients()) most = std::min(most, std::max(held_bytes / (job.classes() * item), std::min(enough_tokens, valid / 16)));
    if (job.call.chunk > 0) most = round_up(job.call.chunk, lanes);
    most = std::max(lanes, most / lanes * lanes);
    const int64_t chunks = std::max<int64_t>(1, (valid + most - 1) / most);
    return std::max(lanes, round_up((valid + chunks - 1) / chunks, lanes));
}

template <class T> void choose_split(LossJob<T>& job) {
    const rc_loss_call& call = job.call;
    for (int64_t n = 0; n < call.rows; ++n)
        if (call.targets[n] != call.ignored) job.rows.push_back(n);
    if (job.smooths())
        for (int64_t c = 0; c < call.classes; ++c) job.weight_sum += double(job.class_weight(c));
    const double work = 2.0 * double(job.rows.size()) * double(call.classes) * double(call.inputs);
    job.parts = work < worth_threads ? 1 : int(std::clamp<int64_t>(call.threads, 1, std::min(most_parts, call.classes)));
    const int64_t share = (call.classes + job.parts - 1) / job.parts;
    job.blocks = job.parts * ((share + most_classes - 1) / most_classes);
    job.block = (call.classes + job.blocks - 1) / job.blocks;
    job.tokens = chunk_tokens(job);
}

template <class T> LossBuffers<T> buffers_of(const rc_loss_call& c) {
    const auto read = [](const void* p) { return static_cast<const T*>(p); };
    const auto write = [](void* p) { return static_cast<T*>(p); };
    return {read(c.x), read(c.weight), read(c.bias), read(c.class_weights), read(c.scale),
            write(c.losses), write(c.dx), write(c.dweight), write(c.dbias)};
}

template <class T> void run(const rc_loss_call& call) {
    LossJob<T> job{call, kernels<T>(), buffers_of<T>(call)};
    choose_split(job);
    // What no chunk writes.
    std::fill(job.b.losses, job.b.losses + call.rows, T(0));
    if (job.b.dx && int64_t(job.rows.size()) < call.rows) std::fill(job.b.dx, job.b.dx + call.rows * call.inputs, T(0));
    if (job.rows.empty()) {
        if (job.b.dweight) std::fill(job.b.dweight, job.b.dweight + call.classes * call.inputs, T(0));
        if (job.b.dbias) std::fill(job.b.dbias, job.b.dbias + call.classes, T(0));
        return;
    }
    Cutter count(nullptr);
    place(job, count);
    PoolBlock memory(count.used);
    Cutter cut(memory.data());
    place(job, cut);
    run_team(job.parts, [](void* data, int id, int threads) { run_loss(*static_cast<LossJob<T>*>(data), id, threads); }, &job);
}

void check(const rc_loss_call& c) {
    if (c.dtype != 0 && c.dtype != 1) fail("rc_linear_cross_entropy: dtype %d is neither 0 (float) nor 1 (double)", c.dtype);
    if (c.rows < 0 || c.inputs < 0 || c.classes < 1)
        fail("rc_linear_cross_entropy: rows %lld, inputs %lld, classes %lld", (long long)c.rows, (long long)c.inputs, (long long)c.classes);
    if (c.chunk < 0) fail("rc_linear_cross_entropy: chunk %lld", (long long)c.chunk);
    if (!(c.smoothing >= 0 && c.smoothing <= 1)) fail("rc_linear_cross_entropy: smoothing %g is not in 0..1", c.smoothing);
    if (c.rows && (!c.x || !c.targets || !c.losses)) fail("rc_linear_cross_entropy: x, targets or losses is NULL");
    if (c.rows && c.inputs && !c.weight) fail("rc_linear_cross_entropy: weight is NULL");
    for (int64_t n = 0; n < c.rows; ++n)
        if (c.targets[n] != c.ignored && (c.targets[n] < 0 || c.targets[n] >= c.classes))
            fail("targets[%lld] is %lld, and there are %lld classes", (long long)n, (long long)c.targets[n], (long long)c.classes);
}

}  // namespace

void linear_cross_entropy(const rc_loss_call& call) {
    check(call);
    if (call.dtype)
        run<double>(call);
    else
        run<float>(call);
}

}  // namespace recell
