// One call of rc_linear_cross_entropy, shared by its threads.
#pragma once
#include <vector>

#include "kernels.h"
#include "program.h"
#include "recell.h"
#include "team.h"

namespace recell {

constexpr int64_t group_blocks = 4;  // blocks of classes that dx^T takes at once: its tile is read and written once for them

template <class T> struct LossBuffers {
    const T *x, *weight, *bias, *class_weights, *scale;
    T *losses, *dx, *dweight, *dbias;
};

// Of one thread.
template <class T> struct LossScratch {
    T *tile, *sums;
    const T** pointers;  // rows of W and, behind them, of each panel's logits
};

template <class T> struct LossJob {
    const rc_loss_call& call;
    const Kernels<T>& k;
    LossBuffers<T> b;
    std::vector<int64_t> rows{};  // those not ignored
    double weight_sum = 0;        // of the classes, for smoothing
    int64_t tokens = 0, block = 0, blocks = 0;
    int parts = 1;
    Barrier barrier{};
    // Shared scratch.
    T* logits = nullptr;      // panels [classes][width]; with gradients only
    T* x_turned = nullptr;    // panels [inputs][width]
    T* x_packed = nullptr;    // panels of inputs [tokens][width]
    T* dx_turned = nullptr;   // [part] panels [inputs][width]
    T* maxima = nullptr;      // [block][tokens]: what a block's exponentials were taken relative to
    T *largest = nullptr, *total = nullptr, *linear = nullptr;  // [part][tokens]
    T *target_logits = nullptr, *maximum = nullptr, *scale = nullptr, *share = nullptr, *onehot = nullptr;  // [tokens]
    std::vector<LossScratch<T>> scratch{};

    int64_t inputs() const { return call.inputs; }
    int64_t classes() const { return call.classes; }
    bool gradients() const { return b.dx || b.dweight || b.dbias; }
    bool smooths() const { return call.smoothing != 0; }
    T class_weight(int64_t c) const { return b.class_weights ? b.class_weights[c] : T(1); }
};

// One thread's way through all chunks.
template <class T> void run_loss(LossJob<T>&, int id, int count);

}  // namespace recell
