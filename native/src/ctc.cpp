// The CTC loss's call: what it is checked for, and how its sequences are shared among threads.
#include "ctc.h"

#include <algorithm>
#include <atomic>

#include "ctc_row.h"
#include "error.h"
#include "kernels.h"
#include "memory_pool.h"
#include "team.h"

namespace recell {

namespace {

constexpr double worth_threads = 2e4;  // places times steps below which waking a team costs more

template <class T> struct CtcJob {
    const rc_ctc_call& call;
    const Kernels<T>& k;
    int64_t scratch;            // doubles of one thread
    double* memory;
    std::atomic<int64_t> next{0};
};

template <class T> void run_sequence(const CtcJob<T>& job, int64_t n, double* scratch) {
    const rc_ctc_call& c = job.call;
    const int64_t stride = c.rows * c.classes, steps = c.input_lengths[n];
    T* gradient = c.gradient ? static_cast<T*>(c.gradient) + n * c.classes : nullptr;
    const CtcRow<T> row{steps, c.target_lengths[n], c.classes, c.blank, c.targets + c.target_offsets[n],
                        static_cast<const T*>(c.log_y) + n * c.classes, gradient, stride, c.finite != 0, scratch};
    static_cast<T*>(c.losses)[n] = T(job.k.ctc_row(row));
    if (gradient)
        for (int64_t t = steps; t < c.steps; ++t) std::fill_n(gradient + t * stride, c.classes, T(0));
}

// Sequences are taken one by one: they are of different lengths, and what each gives does not depend on who computes it.
template <class T> void work(void* data, int id, int) {
    auto& job = *static_cast<CtcJob<T>*>(data);
    for (int64_t n; (n = job.next.fetch_add(1, std::memory_order_relaxed)) < job.call.rows;)
        run_sequence(job, n, job.memory + id * job.scratch);
}

template <class T> void run(const rc_ctc_call& c) {
    CtcJob<T> job{c, kernels<T>(), 0, nullptr};
    double places = 0;
    for (int64_t n = 0; n < c.rows; ++n) {
        job.scratch = std::max(job.scratch, job.k.ctc_scratch(c.input_lengths[n], c.target_lengths[n], c.gradient != nullptr));
        places += double(c.input_lengths[n]) * double(2 * c.target_lengths[n] + 1 + c.classes / 8);
    }
    const int threads = places < worth_threads ? 1 : int(std::clamp<int64_t>(c.threads, 1, std::max<int64_t>(1, c.rows)));
    job.scratch = (job.scratch + 15) / 16 * 16;  // no two threads on one pair of cache lines
    PoolBlock memory(threads * job.scratch * int64_t(sizeof(double)));
    job.memory = reinterpret_cast<double*>(memory.data());
    run_team(threads, work<T>, &job);
}

void check_sequence(const rc_ctc_call& c, int64_t n) {
    const int64_t steps = c.input_lengths[n], labels = c.target_lengths[n];
    if (steps < 0 || steps > c.steps)
        fail("input_lengths[%lld] is %lld, and there are %lld steps", (long long)n, (long long)steps, (long long)c.steps);
    if (labels < 0) fail("target_lengths[%lld] is %lld", (long long)n, (long long)labels);
    for (int64_t i = 0; i < labels; ++i) {
        const int64_t k = c.targets[c.target_offsets[n] + i];
        if (k < 0 || k >= c.classes || k == c.blank)
            fail("label %lld of sequence %lld is %lld; labels go from 0 to %lld without the blank, %lld", (long long)i, (long long)n,
                 (long long)k, (long long)c.classes - 1, (long long)c.blank);
    }
}

void check(const rc_ctc_call& c) {
    if (c.dtype != 0 && c.dtype != 1) fail("rc_ctc_loss: dtype %d is neither 0 (float) nor 1 (double)", c.dtype);
    if (c.steps < 0 || c.rows < 0 || c.classes < 1)
        fail("rc_ctc_loss: steps %lld, rows %lld, classes %lld", (long long)c.steps, (long long)c.rows, (long long)c.classes);
    if (c.blank < 0 || c.blank >= c.classes)
        fail("blank is %lld, and there are %lld classes", (long long)c.blank, (long long)c.classes);
    if (c.rows && (!c.target_offsets || !c.target_lengths || !c.input_lengths || !c.losses))
        fail("rc_ctc_loss: target_offsets, target_lengths, input_lengths or losses is NULL");
    for (int64_t n = 0; n < c.rows; ++n) {
        if ((c.input_lengths[n] > 0 && !c.log_y) || (c.target_lengths[n] > 0 && !c.targets))
            fail("rc_ctc_loss: log_y or targets is NULL");
        check_sequence(c, n);
    }
}

}  // namespace

void ctc_loss(const rc_ctc_call& call) {
    check(call);
    if (call.dtype)
        run<double>(call);
    else
        run<float>(call);
}

}  // namespace recell
