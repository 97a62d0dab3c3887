// Connectionist temporal classification (Graves et al. 2006) of one sequence, forward and backward, in logarithms and in double
// whatever the log-probabilities are: an error of a sum of logarithms is an error of a probability by that factor.
//
// With a blank before, between and after the L labels a path has 2 L + 1 places. They lie in two rows, blank[0..L] and
// label[0..L-1], place 2 i and place 2 i + 1, so that each row's places are neighbours' and one vector holds many:
//   blank_t[i] = log_y[blank]  + lse(blank[i], label[i - 1])
//   label_t[i] = log_y[l_i]    + lse(label[i], blank[i], label[i - 1] where l_(i-1) != l_i)
// Rows are whole vectors with a vector of -inf on either side: what lies beside a sequence is unreachable, as what lies beyond it.
#pragma once
#include "ctc_row.h"
#include "vector_math.h"

namespace {

using LogVec = Vec<double>;
constexpr int64_t ctc_lanes = lanes<double>;
constexpr double unreachable = -__builtin_inf();

int64_t ctc_width(int64_t labels) { return (labels + ctc_lanes) / ctc_lanes * ctc_lanes; }  // of labels + 1 places
int64_t ctc_pitch(int64_t labels) { return ctc_width(labels) + 2 * ctc_lanes; }
// In doubles: alpha's two rows of every step, or of two, and six more.
int64_t ctc_scratch(int64_t steps, int64_t labels, bool gradient) {
    return ctc_pitch(labels) * (2 * (gradient ? steps : 2) + 6);
}

// log(exp(a) + exp(b)), and of three. NaN is no less than anything: what it touches is NaN.
RC_INLINE LogVec log_sum(LogVec a, LogVec b) {
    const LogVec most = a > b ? a : b, least = a > b ? b : a;
    const LogVec y = most + log1p_unit<double>(exp_flushed<double>(least - most));
    return least == unreachable ? most : y;
}
RC_INLINE LogVec log_sum(LogVec a, LogVec b, LogVec c) {
    LogVec most = a > b ? a : b;
    most = most > c ? most : c;
    const LogVec sum = exp_flushed<double>(a - most) + exp_flushed<double>(b - most) + exp_flushed<double>(c - most);
    return most == unreachable ? a + b + c : most + log<double>(sum);
}

template <class T> class CtcPass {
  public:
    explicit CtcPass(const recell::CtcRow<T>& row) : row_(row), width_(ctc_width(row.labels)), pitch_(ctc_pitch(row.labels)) {
        const int64_t rows = ctc_scratch(row.steps, row.labels, row.gradient) / pitch_;
        for (int64_t j = 0; j < rows * pitch_; ++j) row.scratch[j] = unreachable;
        const int64_t kept = rows - 6;
        emission_ = at(kept), skip_ = at(kept + 1);
        for (int i = 0; i < 2; ++i) beta_[i] = at(kept + 2 + i), onward_[i] = at(kept + 4 + i);
        for (int64_t i = 1; i < row.labels; ++i)
            if (row.targets[i] != row.targets[i - 1]) skip_[i] = 0;
    }

    // -log of the probability of all paths that read as the targets.
    double forward() {
        for (int64_t t = 0; t < row_.steps; ++t) t ? advance(t) : begin();
        const double *blank = alpha(row_.steps - 1, 0), *label = alpha(row_.steps - 1, 1);
        log_p_ = log_sum(splat(blank[row_.labels]), splat(label[row_.labels - 1]))[0];  // label[-1]: no label, unreachable
        return -log_p_;
    }

    // gradient = y - gamma, gamma[k] the share of the probability that goes through symbol k: the derivative by the scores that
    // log_y is the log-softmax of.
    void backward() {
        for (int64_t t = row_.steps - 1; t >= 0; --t) {
            t == row_.steps - 1 ? finish() : retreat(t);
            T* g = row_.gradient + t * row_.stride;
            probabilities(row_.log_y + t * row_.stride, g);
            shares(t);
            double of_blank = 0;
            for (int64_t i = 0; i <= row_.labels; ++i) of_blank += onward_[0][i];
            g[row_.blank] -= T(of_blank);
            for (int64_t i = 0; i < row_.labels; ++i) g[row_.targets[i]] -= T(onward_[1][i]);
        }
    }

  private:
    double* at(int64_t row) const { return row_.scratch + row * pitch_ + ctc_lanes; }
    double* alpha(int64_t t, int which) const { return at(2 * (row_.gradient ? t : t % 2) + which); }

    // log_y of every label at step t; returns the blank's.
    double emit(int64_t t) const {
        const T* y = row_.log_y + t * row_.stride;
        for (int64_t i = 0; i < row_.labels; ++i) emission_[i] = double(y[row_.targets[i]]);
        return double(y[row_.blank]);
    }

    void begin() const {
        alpha(0, 0)[0] = emit(0);
        if (row_.labels) alpha(0, 1)[0] = emission_[0];
    }

    void advance(int64_t t) const {
        const double of_blank = emit(t), *blank = alpha(t - 1, 0), *label = alpha(t - 1, 1);
        for (int64_t i = 0; i < width_; i += ctc_lanes) {
            const LogVec here = load<double>(blank + i), before = load<double>(label + i - 1);
            store<double>(alpha(t, 0) + i, log_sum(here, before) + of_blank);
            store<double>(alpha(t, 1) + i, log_sum(load<double>(label + i), here, before + load<double>(skip_ + i)) +
                                               load<double>(emission_ + i));
        }
    }

    void finish() const {
        beta_[0][row_.labels] = 0;
        if (row_.labels) beta_[1][row_.labels - 1] = 0;
    }

    void retreat(int64_t t) const {
        const double of_blank = emit(t + 1);
        for (int64_t i = 0; i < width_; i += ctc_lanes) {
            store<double>(onward_[0] + i, load<double>(beta_[0] + i) + of_blank);
            store<double>(onward_[1] + i, load<double>(beta_[1] + i) + load<double>(emission_ + i));
        }
        for (int64_t i = 0; i < width_; i += ctc_lanes) {
            const LogVec blank = load<double>(onward_[0] + i), label = load<double>(onward_[1] + i);
            const LogVec skipped = load<double>(onward_[1] + i + 1) + load<double>(skip_ + i + 1);
            store<double>(beta_[0] + i, log_sum(blank, label));
            store<double>(beta_[1] + i, log_sum(label, load<double>(onward_[0] + i + 1), skipped));
        }
    }

    // Every place's share of the probability at step t, in the rows of `onward`, which the next step back writes anew.
    void shares(int64_t t) const {
        for (int which = 0; which < 2; ++which)
            for (int64_t i = 0; i < width_; i += ctc_lanes)
                store<double>(onward_[which] + i, exp_flushed<double>(load<double>(alpha(t, which) + i) +
                                                                      load<double>(beta_[which] + i) - log_p_));
    }

    void probabilities(const T* log_y, T* y) const {
        int64_t k = 0;
        for (; k + lanes<T> <= row_.classes; k += lanes<T>) store<T>(y + k, exp_flushed<T>(load<T>(log_y + k)));
        const int rest = int(row_.classes - k);
        if (rest) store_part(y + k, exp_flushed<T>(load_part(log_y + k, rest)), rest);
    }

    const recell::CtcRow<T>& row_;
    const int64_t width_, pitch_;
    double *emission_, *skip_, *beta_[2], *onward_[2];
    double log_p_ = 0;
};

// The loss of one sequence, and its gradient where there is room for one.
template <class T> double ctc_row(const recell::CtcRow<T>& row) {
    CtcPass<T> pass(row);
    const double loss = row.steps ? pass.forward() : row.labels ? -unreachable : 0;
    const bool nothing = loss == -unreachable && row.finite, finite = loss < -unreachable;
    if (row.gradient && finite) pass.backward();
    if (row.gradient && !finite)
        for (int64_t t = 0; t < row.steps; ++t)
            for (int64_t k = 0; k < row.classes; ++k) row.gradient[t * row.stride + k] = nothing ? T(0) : T(__builtin_nan(""));
    return nothing ? 0 : loss;
}

}  // namespace
