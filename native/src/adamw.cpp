// A step of AdamW over all tensors of a module, the norm of their gradients first: in pieces, shared among threads.
#include "adamw.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "adamw_part.h"
#include "error.h"
#include "kernels.h"
#include "team.h"

namespace recell {

namespace {

constexpr int64_t piece = 8192;         // elements: four arrays of it stay in the second cache
constexpr int64_t worth_threads = 3e4;  // elements below which waking a team costs more

template <class T> struct Step {
    const Kernels<T>& k;
    double clip;
    std::vector<AdamWPart<T>> parts;
    std::vector<double> squares;  // of each part: summed in order, whoever computes them
    Barrier barrier{};
};

template <class T> double scale_of(const Step<T>& s) {
    double total = 0;
    for (double square : s.squares) total += square;
    const double scale = s.clip / (std::sqrt(total) + 1e-6);
    return scale >= 1 ? 1 : scale;  // no number stays none
}

template <class T> void work(void* data, int id, int count) {
    auto& s = *static_cast<Step<T>*>(data);
    const int64_t parts = int64_t(s.parts.size()), first = parts * id / count, last = parts * (id + 1) / count;
    double scale = 1;
    if (s.clip > 0) {
        for (int64_t i = first; i < last; ++i) s.squares[size_t(i)] = s.k.sum_of_squares(s.parts[size_t(i)].gradient, s.parts[size_t(i)].count);
        s.barrier.wait(count);
        scale = scale_of(s);
    }
    for (int64_t i = first; i < last; ++i) {
        s.parts[size_t(i)].scale = scale;
        s.k.adamw_move(s.parts[size_t(i)]);
    }
}

template <class T> void divide(std::vector<AdamWPart<T>>& parts, const rc_adamw_tensor& t, const rc_adamw_rates& rates) {
    const double step = double(*t.step += 1);
    AdamWPart<T> part{};
    part.beta1 = rates.beta1, part.beta2 = rates.beta2, part.epsilon = rates.epsilon;
    part.kept = 1 - t.rate * t.decay;
    part.stride = t.rate / (1 - std::pow(rates.beta1, step));
    part.unbias = 1 / std::sqrt(1 - std::pow(rates.beta2, step));
    for (int64_t i = 0; i < t.count; i += piece) {
        part.count = std::min(piece, t.count - i);
        part.value = static_cast<T*>(t.value) + i, part.gradient = static_cast<const T*>(t.gradient) + i;
        part.mean = static_cast<T*>(t.mean) + i, part.square = static_cast<T*>(t.square) + i;
        parts.push_back(part);
    }
}

template <class T> void run(int threads, int64_t count, const rc_adamw_tensor* tensors, const rc_adamw_rates& rates) {
    Step<T> s{kernels<T>(), rates.clip, {}, {}};
    int64_t elements = 0;
    for (int64_t i = 0; i < count; ++i) divide(s.parts, tensors[i], rates), elements += tensors[i].count;
    s.squares.resize(s.parts.size());
    run_team(elements < worth_threads ? 1 : std::max(1, threads), work<T>, &s);
}

}  // namespace

void adamw(int dtype, int threads, int64_t count, const rc_adamw_tensor* tensors, const rc_adamw_rates& rates) {
    if (dtype != 0 && dtype != 1) fail("rc_adamw: dtype %d is neither 0 (float) nor 1 (double)", dtype);
    if (count < 0 || (count && !tensors)) fail("rc_adamw: %lld tensors, and a list that is NULL", (long long)count);
    for (int64_t i = 0; i < count; ++i) {
        const rc_adamw_tensor& t = tensors[i];
        if (!t.step || t.count < 0 || (t.count && (!t.value || !t.gradient || !t.mean || !t.square)))
            fail("rc_adamw: tensor %lld has %lld elements, or a part that is NULL", (long long)i, (long long)t.count);
    }
    if (dtype)
        run<double>(threads, count, tensors, rates);
    else
        run<float>(threads, count, tensors, rates);
}

}  // namespace recell
