// A linear-chain conditional random field (Lafferty, McCallum and Pereira 2001): the loss of some sequences, their gradient, and the
// number of each move, by forward and backward probabilities (Rabiner 1989), in double, scaled at every step, so that a step of a
// block of sequences is one matrix product. What cannot follow has no entry in the packed matrices and costs nothing.
//   alpha_t = (alpha_{t-1} M) * e_t / its sum        M = exp(transitions), e_t = exp(scores_t - their maximum)
//   beta_{t-1} = M (e_t * beta_t)                    scaled so that alpha_t beta_t sums to 1: the probabilities of the tags at t
#pragma once
#include "crf_job.h"
#include "vector_math.h"

namespace {

using recell::crf_block;
using recell::crf_tile;
using CrfVec = Vec<double>;
constexpr int crf_lanes = lanes<double>;
constexpr int crf_most = crf_lanes == 8 ? 8 : 4;  // rows, of two vectors each, that stay in registers

RC_INLINE double crf_sum(CrfVec v) {
    double s = 0;
    for (int i = 0; i < crf_lanes; ++i) s += v[i];
    return s;
}

// out[r][column..] = the sum over k < count of in[r][members[k]] * panel[k][0 : crf_tile]
template <int R>
void crf_multiply(const double* const* in, const int64_t* members, int64_t count, const double* panel, double* const* out, int64_t column) {
    for (int64_t c = 0; c < crf_tile; c += 2 * crf_lanes) {
        CrfVec low[R]{}, high[R]{};
        for (int64_t k = 0; k < count; ++k) {
            const CrfVec a = load<double>(panel + k * crf_tile + c), b = load<double>(panel + k * crf_tile + c + crf_lanes);
            for (int r = 0; r < R; ++r) {
                const CrfVec x = splat(in[r][members[k]]);
                low[r] += x * a, high[r] += x * b;
            }
        }
        for (int r = 0; r < R; ++r) store<double>(out[r] + column + c, low[r]), store<double>(out[r] + column + c + crf_lanes, high[r]);
    }
}

void crf_product(int count, const double* const* in, const recell::CrfMatrix& m, int64_t width, double* const* out) {
    for (int64_t tile = 0; tile * crf_tile < width; ++tile) {
        const int64_t start = m.starts[tile], length = m.starts[tile + 1] - start;
        const int64_t* members = m.members + start;
        const double* panel = m.panel + start * crf_tile;
        int r = 0;
        for (; r + crf_most <= count; r += crf_most) crf_multiply<crf_most>(in + r, members, length, panel, out + r, tile * crf_tile);
        if constexpr (crf_most == 8)
            if ((count - r) & 4) crf_multiply<4>(in + r, members, length, panel, out + r, tile * crf_tile), r += 4;
        if ((count - r) & 2) crf_multiply<2>(in + r, members, length, panel, out + r, tile * crf_tile), r += 2;
        if ((count - r) & 1) crf_multiply<1>(in + r, members, length, panel, out + r, tile * crf_tile);
    }
}

// A tile of exp(transitions); whether no move is too far from 0.
template <class T> bool crf_pack(const recell::CrfJob<T>& job, const recell::CrfMatrix& m, int64_t tile, bool back) {
    const int64_t pitch = job.tags + 2, along = back ? pitch : 1, across = back ? 1 : pitch;
    bool gentle = true;
    for (int64_t k = m.starts[tile]; k < m.starts[tile + 1]; ++k) {
        double row[crf_tile];
        const T* from = job.transitions + job.order[m.members[k]] * across;
        for (int64_t j = 0; j < crf_tile; ++j) {
            const int64_t place = tile * crf_tile + j;
            row[j] = place < job.tags ? double(from[job.order[place] * along]) : -__builtin_inf();
        }
        for (int64_t j = 0; j < crf_tile; ++j)
            gentle &= row[j] == -__builtin_inf() || (row[j] <= recell::crf_widest_move && row[j] >= -recell::crf_widest_move);
        for (int64_t j = 0; j < crf_tile; j += crf_lanes) store<double>(m.panel + k * crf_tile + j, exp_flushed<double>(load<double>(row + j)));
    }
    return gentle;
}

// exp(x - its maximum), x the scores of a step in the order of the places; returns the maximum, or NaN where they are too wide.
template <class T> double crf_likely(const recell::CrfJob<T>& job, int64_t t, int64_t n, double* out) {
    const T* scores = job.scores + (t * job.rows + n) * job.tags;
    for (int64_t j = 0; j < job.width; ++j) out[j] = double(scores[job.order[j < job.tags ? j : 0]]);
    CrfVec most = load<double>(out), least = most;
    for (int64_t j = crf_lanes; j < job.width; j += crf_lanes) {
        const CrfVec x = load<double>(out + j);
        most = most > x ? most : x, least = least < x ? least : x;
    }
    double peak = most[0], low = least[0];
    for (int i = 1; i < crf_lanes; ++i) peak = peak > most[i] ? peak : most[i], low = low < least[i] ? low : least[i];
    for (int64_t j = 0; j < job.width; j += crf_lanes) store<double>(out + j, exp_flushed<double>(load<double>(out + j) - peak));
    for (int64_t j = job.tags; j < job.width; ++j) out[j] = 0;
    return peak - low <= recell::crf_widest_step ? peak : __builtin_nan("");
}

RC_INLINE double crf_dot(const double* a, const double* b, int64_t width) {
    CrfVec sum{};
    for (int64_t j = 0; j < width; j += crf_lanes) sum += load<double>(a + j) * load<double>(b + j);
    return crf_sum(sum);
}
RC_INLINE void crf_scale(double* a, double factor, int64_t width) {
    for (int64_t j = 0; j < width; j += crf_lanes) store<double>(a + j, load<double>(a + j) * factor);
}
// out = a * b * factor; whether each is 0 or at least crf_least.
RC_INLINE bool crf_times(const double* a, const double* b, double factor, int64_t width, double* out) {
    Int<double> lost{};
    for (int64_t j = 0; j < width; j += crf_lanes) {
        const CrfVec x = load<double>(a + j) * load<double>(b + j) * factor;
        lost |= (x != 0) & ~(x >= recell::crf_least);
        store<double>(out + j, x);
    }
    bool kept = true;
    for (int i = 0; i < crf_lanes; ++i) kept &= lost[i] == 0;
    return kept;
}
// a = 0 where b is: what no path reaches could be anything.
RC_INLINE void crf_clear(double* a, const double* b, int64_t width) {
    for (int64_t j = 0; j < width; j += crf_lanes) store<double>(a + j, load<double>(b + j) > 0 ? load<double>(a + j) : splat(0.0));
}

template <class T> class CrfRows {
  public:
    // scratch: crf_scratch doubles.
    CrfRows(const recell::CrfJob<T>& job, int64_t first, int64_t count, double* scratch)
        : job_(job), first_(first), count_(int(count)), width_(job.width), likely_(scratch), beta_(scratch + job.width) {
        for (int r = 0; r < count_; ++r) longest_ = longest_ > length(r) ? longest_ : length(r);
    }

    void forward() {
        double partition[crf_block]{};
        for (int64_t t = 0; t < longest_; ++t) {
            if (t) advance(t);
            for (int r = 0; r < count_; ++r) {
                if (length(r) <= t) continue;
                const double peak = crf_likely(job_, t, first_ + r, likely_);
                double* alpha = at(job_.alpha, t, r);
                const double total = crf_dot(t ? alpha : job_.first, likely_, width_);
                const bool kept = crf_times(t ? alpha : job_.first, likely_, 1 / total, width_, alpha);
                partition[r] += kept ? peak + log<double>(splat(total))[0] : __builtin_nan("");
            }
        }
        for (int r = 0; r < count_; ++r) {
            const double ends = crf_dot(at(job_.alpha, length(r) - 1, r), job_.last, width_);
            job_.losses[first_ + r] = T(partition[r] + log<double>(splat(ends))[0] - path_score(first_ + r));
        }
    }

    void backward() {
        for (int64_t t = longest_ - 1; t >= 0; --t) {
            for (int r = 0; r < count_; ++r)
                if (length(r) > t) enter(t, r);
            if (t) retreat(t);
        }
        for (int r = 0; r < count_; ++r)
            for (int64_t t = length(r); t < job_.steps; ++t) {
                T* g = job_.gradient + (t * job_.rows + first_ + r) * job_.tags;
                for (int64_t j = 0; j < job_.tags; ++j) g[j] = 0;
            }
    }

  private:
    int64_t length(int r) const { return job_.lengths[first_ + r]; }
    double* at(double* base, int64_t t, int r) const { return base + (t * job_.rows + first_ + r) * width_; }
    double* beta(int r) const { return beta_ + r * width_; }

    // The product of every sequence that still runs at t, from alpha of the step before to alpha.
    void advance(int64_t t) const {
        const double* in[crf_block];
        double* out[crf_block];
        int running = 0;
        for (int r = 0; r < count_; ++r)
            if (length(r) > t) in[running] = at(job_.alpha, t - 1, r), out[running++] = at(job_.alpha, t, r);
        crf_product(running, in, job_.ahead, width_, out);
    }

    // The gradient of a step, whose beta is there unless it is the last; what a pair has of this step.
    void enter(int64_t t, int r) const {
        const double *alpha = at(job_.alpha, t, r), weight = double(job_.weights[first_ + r]);
        if (t == length(r) - 1) {
            const double factor = 1 / crf_dot(alpha, job_.last, width_);
            job_.ends[first_ + r] = factor;
            for (int64_t j = 0; j < width_; j += crf_lanes) store<double>(beta(r) + j, load<double>(job_.last + j) * factor);
        }
        crf_clear(beta(r), alpha, width_);
        crf_times(alpha, beta(r), weight, width_, likely_);
        T* g = job_.gradient + (t * job_.rows + first_ + r) * job_.tags;
        for (int64_t j = 0; j < job_.tags; ++j) g[job_.order[j]] = T(likely_[j]);
        g[job_.path[t * job_.rows + first_ + r]] -= T(weight);
        double* after = at(job_.after, t, r);
        if (t) crf_likely(job_, t, first_ + r, likely_), crf_times(likely_, beta(r), 1, width_, after);
        else __builtin_memcpy(after, likely_, sizeof(double) * width_);
    }

    void retreat(int64_t t) const {
        const double* in[crf_block];
        double* out[crf_block];
        int running = 0;
        for (int r = 0; r < count_; ++r)
            if (length(r) > t) in[running] = at(job_.after, t, r), out[running++] = beta(r);
        crf_product(running, in, job_.back, width_, out);
        for (int r = 0; r < count_; ++r) {
            if (length(r) <= t) continue;
            crf_clear(beta(r), at(job_.alpha, t - 1, r), width_);
            const double factor = 1 / crf_dot(at(job_.alpha, t - 1, r), beta(r), width_);
            crf_scale(beta(r), factor, width_);
            crf_scale(at(job_.after, t, r), factor * double(job_.weights[first_ + r]), width_);
        }
    }

    double path_score(int64_t n) const {
        const int64_t pitch = job_.tags + 2;
        double score = 0;
        int64_t before = job_.tags;  // the start
        for (int64_t t = 0; t < job_.lengths[n]; ++t) {
            const int64_t tag = job_.path[t * job_.rows + n];
            score += move(before * pitch + tag) + double(job_.scores[(t * job_.rows + n) * job_.tags + tag]);
            before = tag;
        }
        return score + move(before * pitch + job_.tags + 1);
    }
    double move(int64_t at) const {
        const double score = double(job_.transitions[at]);
        return score == -__builtin_inf() ? job_.forbidden : score;
    }

    const recell::CrfJob<T>& job_;
    const int64_t first_;
    const int count_;
    const int64_t width_;
    double *likely_, *beta_;
    int64_t longest_ = 0;
};

int64_t crf_scratch(int64_t width) { return width * (1 + crf_block); }  // doubles of one thread

template <class T> void crf_forward(const recell::CrfJob<T>& job, int64_t first, int64_t count, double* scratch) {
    CrfRows<T>(job, first, count, scratch).forward();
}
template <class T> void crf_backward(const recell::CrfJob<T>& job, int64_t first, int64_t count, double* scratch) {
    CrfRows<T>(job, first, count, scratch).backward();
}

// moved[i][j] of R members i and a tile's columns j: the sum over pairs of neighbours of before[i] * after[j], times exp(transition).
template <int R, class T>
void crf_count(const recell::CrfJob<T>& job, int64_t pairs, const double* const* before, const double* const* after, const int64_t* members,
               const double* panel, int64_t column) {
    const int64_t pitch = job.tags + 2;
    for (int64_t c = 0; c < crf_tile; c += 2 * crf_lanes) {
        CrfVec low[R]{}, high[R]{};
        for (int64_t e = 0; e < pairs; ++e) {
            const CrfVec a = load<double>(after[e] + column + c), b = load<double>(after[e] + column + c + crf_lanes);
            for (int r = 0; r < R; ++r) {
                const CrfVec x = splat(before[e][members[r]]);
                low[r] += x * a, high[r] += x * b;
            }
        }
        for (int r = 0; r < R; ++r) {
            double found[2 * crf_lanes];
            store<double>(found, low[r] * load<double>(panel + r * crf_tile + c));
            store<double>(found + crf_lanes, high[r] * load<double>(panel + r * crf_tile + c + crf_lanes));
            double* to = job.moved + job.order[members[r]] * pitch;
            for (int64_t j = 0; j < 2 * crf_lanes && column + c + j < job.tags; ++j) to[job.order[column + c + j]] = found[j];
        }
    }
}

// A tile's columns of `moved`: every member's.
template <class T>
void crf_moves(const recell::CrfJob<T>& job, int64_t tile, int64_t pairs, const double* const* before, const double* const* after) {
    const recell::CrfMatrix& m = job.ahead;
    int64_t k = m.starts[tile];
    const int64_t end = m.starts[tile + 1], column = tile * crf_tile;
    for (; k + crf_most <= end; k += crf_most)
        crf_count<crf_most>(job, pairs, before, after, m.members + k, m.panel + k * crf_tile, column);
    if constexpr (crf_most == 8)
        if (end - k >= 4) crf_count<4>(job, pairs, before, after, m.members + k, m.panel + k * crf_tile, column), k += 4;
    for (; k < end; ++k) crf_count<1>(job, pairs, before, after, m.members + k, m.panel + k * crf_tile, column);
}

}  // namespace
