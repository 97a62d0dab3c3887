// A piece of one tensor in an optimizer's step: what adamw.cpp hands to the kernels of an instruction set.
#pragma once
#include <cstdint>

namespace recell {

template <class T> struct AdamWPart {
    int64_t count;
    T* value;
    const T* gradient;
    T *mean, *square;
    double scale;   // of the gradient
    double beta1, beta2, epsilon;
    double kept;    // of the value: 1 - rate * decay
    double stride;  // rate / (1 - beta1^step)
    double unbias;  // 1 / sqrt(1 - beta2^step)
};

}  // namespace recell
