// One call of rc_linear_cross_entropy: what both ways through it share, and the job of each, shared by its threads.
#pragma once
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels.h"
#include "program.h"
#include "recell.h"
#include "team.h"

namespace recell {

template <class T> struct LossBuffers {
    const T *x, *weight, *bias, *class_weights, *scale;
    T *losses, *dx, *dweight, *dbias;
};

// A run of tokens, of inputs or of classes, at most a panel. width: whole vectors; valid: those that count.
struct Panel {
    int64_t first, width, valid;
};

// What a token's softmax makes of its logits: dl = e * scale - share * weights - onehot at the target, e = exp(logit - largest).
template <class T> struct TokenLoss {
    T loss, scale, share, onehot;
};

template <class T> struct LossTask {
    const rc_loss_call& call;
    const Kernels<T>& k;
    LossBuffers<T> b;
    std::vector<int64_t> rows{};  // those not ignored
    double weight_sum = 0;        // of the classes, for smoothing
    int parts = 1;                // a thread's share of the work; possibly more than one of a thread

    int64_t inputs() const { return call.inputs; }
    int64_t classes() const { return call.classes; }
    bool gradients() const { return b.dx || b.dweight || b.dbias; }
    bool smooths() const { return call.smoothing != 0; }
    T class_weight(int64_t c) const { return b.class_weights ? b.class_weights[c] : T(1); }

    // Panels of equal width: a narrow one would leave the FMA pipes idle.
    std::vector<Panel> panels(int64_t elements) const {
        const int64_t count = (elements + k.panel - 1) / k.panel, vectors = (elements + k.lanes - 1) / k.lanes;
        std::vector<Panel> found;
        for (int64_t p = 0; p < count; ++p) {
            const int64_t first = vectors * p / count * k.lanes, width = vectors * (p + 1) / count * k.lanes - first;
            found.push_back({first, width, std::min(width, elements - first)});
        }
        return found;
    }

    // total: of exp(logit - largest); linear: of weight * logit, with smoothing only.
    TokenLoss<T> token_loss(int64_t row, T largest, T total, T linear, T target_logit) const {
        const T smoothing = T(call.smoothing), even = smoothing / T(classes()), all = T(weight_sum);
        const T own = (T(1) - smoothing) * class_weight(call.targets[row]), scale = b.scale ? b.scale[row] : T(1);
        const T log_total = std::log(total);
        T loss = own * ((largest - target_logit) + log_total);
        if (smooths()) loss += even * (all * (largest + log_total) - linear);
        return {loss, scale * (own + even * all) / total, scale * even, scale * own};
    }
};

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

constexpr int64_t group_blocks = 4;  // blocks of classes that dx^T takes at once: its tile is read and written once for them

// Of one thread.
template <class T> struct ClassesScratch {
    T *tile, *sums;
    const T** pointers;  // rows of W and, behind them, of each panel's logits
};

// Chunks of tokens, each thread a range of classes: for layers whose weights are larger than the caches.
template <class T> struct ByClasses : LossTask<T> {
    int64_t tokens = 0, block = 0, blocks = 0;
    Barrier barrier{};
    // Shared scratch.
    T* logits = nullptr;      // panels [classes][width]; with gradients only
    T* x_turned = nullptr;    // panels [inputs][width]
    T* x_packed = nullptr;    // panels of inputs [tokens][width]
    T* dx_turned = nullptr;   // [part] panels [inputs][width]
    T* maxima = nullptr;      // [block][tokens]: what a block's exponentials were taken relative to
    T *largest = nullptr, *total = nullptr, *linear = nullptr;  // [part][tokens]
    T *target_logits = nullptr, *maximum = nullptr, *scale = nullptr, *share = nullptr, *onehot = nullptr;  // [tokens]
    std::vector<ClassesScratch<T>> scratch{};
};

// Of one part.
template <class T> struct TokensScratch {
    T* logits;   // panels of classes [tokens][width]
    T* dweight;  // panels of classes [inputs][width]: dW^T
    T* dbias;    // [classes]
    T* tile;     // [tokens][panel]: rows of dx that can't be written where they lie
    T *maximum, *total, *linear, *target, *scale, *share, *onehot;  // [tokens]
    const T** rows;     // of x; `outer_ahead` more behind them
    const T** dl_rows;  // [panel of classes][tokens]
};

// Each thread tokens of its own, through all classes: for layers whose weights stay in L2.
template <class T> struct ByTokens : LossTask<T> {
    int64_t tokens = 0;  // of a chunk, at most
    std::vector<Panel> class_panels{}, input_panels{};
    Barrier barrier{};
    // Shared scratch.
    T* turned = nullptr;   // W^T, panels of classes [inputs][width]
    T* packed = nullptr;   // W, panels of inputs [classes][width]
    T *bias = nullptr, *weights = nullptr, *mask = nullptr;  // [classes]; mask: -inf beyond the last class
    std::vector<TokensScratch<T>> scratch{};
};

// Whether every part's tokens are many and the weights few.
template <class T> bool suits_tokens(const LossTask<T>&);

// The whole loss, by the one way or the other; the task's rows are chosen.
template <class T> void run_by_classes(LossTask<T>&);
template <class T> void run_by_tokens(LossTask<T>&);

}  // namespace recell
