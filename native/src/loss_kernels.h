// Softmax and its gradient over a tile of logits. Where it lies class by class, tile[class][token], a token is a lane, and neither the
// largest logit nor the sum of exponentials needs a sum across lanes; the second half is for tiles that lie token by token.
#pragma once
#include "vector_math.h"

namespace {

// Adds the bias, moves each token's running maximum and sum of exponentials on, and leaves exp(logit - maximum) in the tile. width:
// whole vectors; the tile's rows are `width` apart. bias and weights may be null; weighted, where not null, gets the sum of
// weights[class] * logit (weights null: ones).
template <class T>
void exponentials(int64_t classes, int64_t width, T* tile, const T* bias, T* maximum, T* sum, const T* weights, T* weighted) {
    for (int64_t j = 0; j < width; j += lanes<T>) {
        T* column = tile + j;
        const Vec<T> before = load<T>(maximum + j);
        Vec<T> largest = before, linear{};
        for (int64_t c = 0; c < classes; ++c) {
            Vec<T> logit = load<T>(column + c * width);
            if (bias) {
                logit += bias[c];
                store<T>(column + c * width, logit);
            }
            largest = logit > largest ? logit : largest;  // a NaN is passed by here and comes out of the sum
            if (weighted) linear += weights ? logit * weights[c] : logit;
        }
        Vec<T> total{};
        for (int64_t c = 0; c < classes; ++c) {
            const Vec<T> e = exp_flushed<T>(load<T>(column + c * width) - largest);
            store<T>(column + c * width, e);
            total += e;
        }
        store<T>(sum + j, load<T>(sum + j) * exp_flushed<T>(before - largest) + total);
        store<T>(maximum + j, largest);
        if (weighted) store<T>(weighted + j, load<T>(weighted + j) + linear);
    }
}

// tile = tile * exp(before - maximum) * scale - share * weights[class]: from what `exponentials` left, the loss's derivative by the
// logits but for the target's own term. before: the maximum that the tile was made with. share null: no second term.
template <class T>
void logit_gradients(int64_t classes, int64_t width, T* tile, const T* before, const T* maximum, const T* scale, const T* weights,
                     const T* share) {
    for (int64_t j = 0; j < width; j += lanes<T>) {
        const Vec<T> factor = exp_flushed<T>(load<T>(before + j) - load<T>(maximum + j)) * load<T>(scale + j);
        const Vec<T> even = share ? load<T>(share + j) : Vec<T>{};
        for (T *at = tile + j, *end = at + classes * width; at < end; at += width, weights += weights ? 1 : 0)
            store<T>(at, load<T>(at) * factor - (weights ? even * weights[0] : even));
        if (weights) weights -= classes;
    }
}

// In these, tile[token][class], rows of `width` whole vectors.

// Moves each token's maximum on, and, with weights, linear by the sum of weights[class] * logit. mask, where not null, is added to
// the last vector of a row: -inf where there is no class.
template <class T>
void row_maxima(int64_t rows, int64_t width, T* tile, const T* mask, const T* weights, T* maximum, T* linear) {
    constexpr int L = lanes<T>;
    for (int64_t r = 0; r < rows; ++r, tile += width) {
        Vec<T> largest = splat(maximum[r]), sum{};
        for (int64_t j = 0; j < width; j += L) {
            Vec<T> logit = load<T>(tile + j);
            if (weights) sum += logit * load<T>(weights + j);
            if (mask && j == width - L) {
                logit += load<T>(mask + j);
                store<T>(tile + j, logit);
            }
            largest = logit > largest ? logit : largest;  // a NaN is passed by here and comes out of the sum
        }
        for (int i = 0; i < L; ++i) {
            maximum[r] = largest[i] > maximum[r] ? largest[i] : maximum[r];
            if (weights) linear[r] += sum[i];
        }
    }
}

// tile = exp(tile - maximum); total += its sum.
template <class T> void row_exponentials(int64_t rows, int64_t width, T* tile, const T* maximum, T* total) {
    for (int64_t r = 0; r < rows; ++r, tile += width) {
        Vec<T> sum{};
        for (int64_t j = 0; j < width; j += lanes<T>) {
            const Vec<T> e = exp_flushed<T>(load<T>(tile + j) - maximum[r]);
            store<T>(tile + j, e);
            sum += e;
        }
        for (int i = 0; i < lanes<T>; ++i) total[r] += sum[i];
    }
}

// tile = tile * scale - share * weights[class]; share null: no second term.
template <class T>
void row_gradients(int64_t rows, int64_t width, T* tile, const T* scale, const T* share, const T* weights) {
    for (int64_t r = 0; r < rows; ++r, tile += width)
        for (int64_t j = 0; j < width; j += lanes<T>) {
            const Vec<T> even = share ? load<T>(weights + j) * share[r] : Vec<T>{};
            store<T>(tile + j, load<T>(tile + j) * scale[r] - even);
        }
}

}  // namespace
