// One sequence of a CTC loss: what ctc.cpp hands to the kernels of an instruction set.
#pragma once
#include <cstdint>

namespace recell {

template <class T> struct CtcRow {
    int64_t steps, labels, classes, blank;
    const int64_t* targets;   // (labels)
    const T* log_y;           // (steps, classes), a step's classes together
    T* gradient;              // the same, or null
    int64_t stride;           // between two steps of log_y and of gradient
    bool finite;              // an infinite loss becomes 0, and so does its gradient
    double* scratch;          // ctc_scratch doubles
};

}  // namespace recell
