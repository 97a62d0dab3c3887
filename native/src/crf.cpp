// The CRF's calls: what they are checked for, and how sequences, and then moves, are shared among threads.
#include "crf.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "crf_job.h"
#include "error.h"
#include "kernels.h"
#include "memory_pool.h"
#include "team.h"

namespace recell {

namespace {

constexpr double worth_threads = 1e5;  // multiplications below which waking a team costs more

// What the threads of one call share. Tiles, blocks of sequences and moves are taken one by one: what each gives does not depend on
// who computes it.
template <class T> struct Shared {
    CrfJob<T> job;
    const Kernels<T>& k;
    bool backward;
    double* scratch;
    int64_t scratch_of_one;
    std::vector<const double*> before, after;  // of every pair of neighbours
    std::atomic<int64_t> tile{0}, block{0}, move{0};
    std::atomic<bool> gentle{true};  // no move is too far from 0
    Barrier barrier{};
};

template <class T> void work(void* data, int id, int count) {
    auto& s = *static_cast<Shared<T>*>(data);
    const CrfJob<T>& job = s.job;
    const int64_t tiles = job.width / crf_tile, blocks = (job.rows + crf_block - 1) / crf_block;
    for (int64_t i; (i = s.tile.fetch_add(1)) < tiles;)
        if (!s.k.crf_pack(job, s.backward ? job.back : job.ahead, i, s.backward)) s.gentle = false;
    s.barrier.wait(count);
    for (int64_t i; (i = s.block.fetch_add(1)) < blocks;) {
        const int64_t first = i * crf_block, rows = std::min(crf_block, job.rows - first);
        (s.backward ? s.k.crf_backward : s.k.crf_forward)(job, first, rows, s.scratch + id * s.scratch_of_one);
    }
    if (!s.backward) return;
    s.barrier.wait(count);
    const int64_t pairs = int64_t(s.before.size());
    for (int64_t i; (i = s.move.fetch_add(1)) < tiles;) s.k.crf_moves(job, i, pairs, s.before.data(), s.after.data());
}

// The moves from the start and to the end, less the moves of the path.
template <class T> void finish_moves(const CrfJob<T>& job) {
    const int64_t pitch = job.tags + 2, width = job.width;
    for (int64_t n = 0; n < job.rows; ++n) {
        const double weight = double(job.weights[n]), *first = job.after + n * width;
        const double* alpha = job.alpha + ((job.lengths[n] - 1) * job.rows + n) * width;
        for (int64_t j = 0; j < job.tags; ++j) {
            job.moved[job.tags * pitch + job.order[j]] += first[j];
            job.moved[job.order[j] * pitch + job.tags + 1] += weight * alpha[j] * job.last[j] * job.ends[n];
        }
        int64_t before = job.tags;
        for (int64_t t = 0; t < job.lengths[n]; ++t) {
            const int64_t tag = job.path[t * job.rows + n];
            job.moved[before * pitch + tag] -= weight;
            before = tag;
        }
        job.moved[before * pitch + job.tags + 1] -= weight;
    }
}

// Doubles, one part after the other, each on a line of its own.
class Parts {
  public:
    explicit Parts(int64_t doubles) : block_(doubles * int64_t(sizeof(double))), at_(reinterpret_cast<double*>(block_.data())) {}
    double* take(int64_t doubles) {
        double* part = at_;
        at_ += padded(doubles);
        return part;
    }
    static int64_t padded(int64_t doubles) { return (doubles + 15) / 16 * 16; }

  private:
    PoolBlock block_;
    double* at_;
};

// The moves from the start and to the end; whether none is too far from 0.
template <class T> bool ends_of(CrfJob<T>& job) {
    bool gentle = true;
    const auto likely = [&](int64_t from, int64_t to) {
        const double score = double(job.transitions[from * (job.tags + 2) + to]);
        gentle &= score == -__builtin_inf() || std::abs(score) <= crf_widest_move;
        return std::exp(score);
    };
    for (int64_t j = 0; j < job.width; ++j) {
        job.first[j] = j < job.tags ? likely(job.tags, job.order[j]) : 0;
        job.last[j] = j < job.tags ? likely(job.order[j], job.tags + 1) : 0;
    }
    return gentle;
}

template <class T> void run(const rc_crf_call& c, bool backward) {
    if (!c.rows) return;
    const int64_t width = (c.tags + crf_tile - 1) / crf_tile * crf_tile, tiles = width / crf_tile, pitch = c.tags + 2;
    const Kernels<T>& k = kernels<T>();
    int64_t words = 0;
    for (int64_t n = 0; n < c.rows; ++n) words += c.lengths[n];
    const double products = double(words) * double(c.ahead_starts[tiles] + c.back_starts[tiles]) * crf_tile / 2;
    const int threads = products < worth_threads ? 1 : std::max(1, c.threads);
    const int64_t one = Parts::padded(k.crf_scratch(width)), steps = backward ? c.steps * c.rows * width : 0;
    const int64_t moved = backward ? pitch * pitch : 0, panel = backward ? c.back_starts[tiles] * crf_tile : 0;
    Parts parts(threads * one + 2 * width + Parts::padded(steps) + Parts::padded(moved) + Parts::padded(panel) + Parts::padded(c.rows));
    Shared<T> s{{}, k, backward, parts.take(threads * one), one, {}, {}};
    CrfJob<T>& job = s.job;
    job = {c.steps, c.rows, c.tags, width, static_cast<const T*>(c.scores), static_cast<const T*>(c.transitions), c.path, c.lengths, c.order,
           c.forbidden, {c.ahead_starts, c.ahead, c.panel}, {c.back_starts, c.back, parts.take(panel)}, parts.take(width), parts.take(width), c.alpha,
           static_cast<T*>(c.losses), static_cast<const T*>(c.weights), static_cast<T*>(c.gradient), parts.take(steps), parts.take(c.rows),
           parts.take(moved)};
    s.gentle = ends_of(job);
    if (backward) {
        std::fill_n(job.moved, moved, 0.0);
        for (int64_t t = 1; t < c.steps; ++t)
            for (int64_t n = 0; n < c.rows; ++n)
                if (t < c.lengths[n]) {
                    s.before.push_back(job.alpha + ((t - 1) * c.rows + n) * width);
                    s.after.push_back(job.after + (t * c.rows + n) * width);
                }
    }
    run_team(threads, work<T>, &s);
    if (!backward) {
        if (!s.gentle) std::fill_n(job.losses, c.rows, T(__builtin_nan("")));
        return;
    }
    finish_moves(job);
    std::transform(job.moved, job.moved + moved, static_cast<T*>(c.moves), [](double v) { return T(v); });
}

void check_matrix(const char* name, const int64_t* starts, const int64_t* members, int64_t tags) {
    const int64_t tiles = (tags + crf_tile - 1) / crf_tile;
    if (!starts || starts[0] != 0) fail("rc_crf: %s_starts is NULL or does not begin at 0", name);
    for (int64_t i = 0; i < tiles; ++i)
        if (starts[i + 1] < starts[i] || starts[i + 1] - starts[i] > tags) fail("rc_crf: %s_starts do not rise", name);
    if (starts[tiles] && !members) fail("rc_crf: %s is NULL", name);
    for (int64_t i = 0; i < starts[tiles]; ++i)
        if (members[i] < 0 || members[i] >= tags) fail("rc_crf: %s has the place %lld of %lld", name, (long long)members[i], (long long)tags);
}

void check_sequence(const rc_crf_call& c, int64_t n) {
    if (c.lengths[n] < 1 || c.lengths[n] > c.steps)
        fail("lengths[%lld] is %lld; they go from 1 to %lld", (long long)n, (long long)c.lengths[n], (long long)c.steps);
    for (int64_t t = 0; t < c.lengths[n]; ++t) {
        const int64_t tag = c.path[t * c.rows + n];
        if (tag < 0 || tag >= c.tags)
            fail("tag %lld of sequence %lld is %lld; tags go from 0 to %lld", (long long)t, (long long)n, (long long)tag, (long long)c.tags - 1);
    }
}

void check(const rc_crf_call& c, bool backward) {
    if (c.dtype != 0 && c.dtype != 1) fail("rc_crf: dtype %d is neither 0 (float) nor 1 (double)", c.dtype);
    if (c.steps < 1 || c.rows < 0 || c.tags < 1)
        fail("rc_crf: steps %lld, rows %lld, tags %lld", (long long)c.steps, (long long)c.rows, (long long)c.tags);
    if (!c.transitions || !c.order || !c.panel) fail("rc_crf: transitions, order or panel is NULL");
    if (c.rows && (!c.scores || !c.path || !c.lengths || !c.alpha)) fail("rc_crf: scores, path, lengths or alpha is NULL");
    if (c.rows && !backward && !c.losses) fail("rc_crf_loss: losses is NULL");
    if (c.rows && backward && (!c.weights || !c.gradient || !c.moves)) fail("rc_crf_gradient: weights, gradient or moves is NULL");
    std::vector<bool> seen(size_t(c.tags), false);
    for (int64_t j = 0; j < c.tags; ++j) {
        if (c.order[j] < 0 || c.order[j] >= c.tags || seen[size_t(c.order[j])]) fail("rc_crf: order does not hold each tag once");
        seen[size_t(c.order[j])] = true;
    }
    check_matrix("ahead", c.ahead_starts, c.ahead, c.tags);
    check_matrix("back", c.back_starts, c.back, c.tags);
    for (int64_t n = 0; n < c.rows; ++n) check_sequence(c, n);
}

void checked_run(const rc_crf_call& c, bool backward) {
    check(c, backward);
    if (c.dtype)
        run<double>(c, backward);
    else
        run<float>(c, backward);
}

}  // namespace

void crf_loss(const rc_crf_call& call) { checked_run(call, false); }
void crf_gradient(const rc_crf_call& call) { checked_run(call, true); }

}  // namespace recell
