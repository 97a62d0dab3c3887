// The loss's call: what it is checked for, which rows count, and which way it goes.
#include "loss.h"

#include <algorithm>

#include "error.h"
#include "loss_job.h"

namespace recell {

namespace {

constexpr int64_t most_parts = 256;
constexpr double worth_threads = 1e6;  // flops below which waking a team costs more

template <class T> LossBuffers<T> buffers_of(const rc_loss_call& c) {
    const auto read = [](const void* p) { return static_cast<const T*>(p); };
    const auto write = [](void* p) { return static_cast<T*>(p); };
    return {read(c.x), read(c.weight), read(c.bias), read(c.class_weights), read(c.scale),
            write(c.losses), write(c.dx), write(c.dweight), write(c.dbias)};
}

template <class T> void choose(LossTask<T>& task) {
    const rc_loss_call& call = task.call;
    for (int64_t n = 0; n < call.rows; ++n)
        if (call.targets[n] != call.ignored) task.rows.push_back(n);
    if (task.smooths())
        for (int64_t c = 0; c < call.classes; ++c) task.weight_sum += double(task.class_weight(c));
    const double work = 2.0 * double(task.rows.size()) * double(call.classes) * double(call.inputs);
    task.parts = work < worth_threads ? 1 : int(std::clamp<int64_t>(call.threads, 1, most_parts));
}

template <class T> void run(const rc_loss_call& call) {
    LossTask<T> task{call, kernels<T>(), buffers_of<T>(call)};
    choose(task);
    // What no chunk writes.
    const LossBuffers<T>& b = task.b;
    std::fill(b.losses, b.losses + call.rows, T(0));
    if (b.dx && int64_t(task.rows.size()) < call.rows) std::fill(b.dx, b.dx + call.rows * call.inputs, T(0));
    if (task.rows.empty()) {
        if (b.dweight) std::fill(b.dweight, b.dweight + call.classes * call.inputs, T(0));
        if (b.dbias) std::fill(b.dbias, b.dbias + call.classes, T(0));
    } else if (suits_tokens(task)) {
        run_by_tokens(task);
    } else {
        run_by_classes(task);
    }
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
