// THE table of pointwise opcodes: the name in the ABI, how many operands, and how widths go.
#pragma once

namespace recell {

enum class OpKind {
    elementwise,  // all of one width
    splat,        // a of width 1 -> any width
    reduction,    // a of any width -> width 1; by_rows only
    row,          // a whole row at once, same width; by_rows only
    accumulate,
    coin
};

// X(name, arity, kind)
#define RC_OPS(X)                                                                                                              \
    X(copy, 1, elementwise) X(splat, 1, splat)                                                                                 \
    X(add, 2, elementwise) X(sub, 2, elementwise) X(mul, 2, elementwise) X(div, 2, elementwise) X(mod, 2, elementwise)         \
    X(neg, 1, elementwise)                                                                                                     \
    X(add_add, 3, elementwise) X(add_sub, 3, elementwise) X(add_rsub, 3, elementwise) X(add_mul, 3, elementwise)               \
    X(sub_add, 3, elementwise) X(sub_sub, 3, elementwise) X(sub_rsub, 3, elementwise) X(sub_mul, 3, elementwise)               \
    X(mul_add, 3, elementwise) X(mul_sub, 3, elementwise) X(mul_rsub, 3, elementwise) X(mul_mul, 3, elementwise)               \
    X(mul_sigmoid_slope, 2, elementwise) X(mul_mul_sigmoid_slope, 3, elementwise)                                              \
    X(mul_tanh_slope, 2, elementwise) X(mul_mul_tanh_slope, 3, elementwise)                                                    \
    X(sigmoid, 1, elementwise) X(tanh, 1, elementwise) X(relu, 1, elementwise) X(exp, 1, elementwise) X(log, 1, elementwise)   \
    X(sqrt, 1, elementwise) X(abs, 1, elementwise) X(sin, 1, elementwise) X(cos, 1, elementwise) X(floor, 1, elementwise)      \
    X(softplus, 1, elementwise) X(silu, 1, elementwise) X(reciprocal, 1, elementwise)                                          \
    X(maximum, 2, elementwise) X(minimum, 2, elementwise) X(where, 3, elementwise)                                             \
    X(lt, 2, elementwise) X(le, 2, elementwise) X(gt, 2, elementwise) X(ge, 2, elementwise) X(eq, 2, elementwise)              \
    X(ne, 2, elementwise)                                                                                                      \
    X(sum, 1, reduction) X(mean, 1, reduction) X(max, 1, reduction) X(softmax, 1, row)                                         \
    X(accumulate, 1, accumulate) X(accumulate_mul, 2, accumulate) X(coin, 1, coin)

#define RC_OP_ENUM(name, arity, kind) op_##name,
enum Op : int { RC_OPS(RC_OP_ENUM) op_count };
#undef RC_OP_ENUM

struct OpRow {
    const char* name;
    int arity;
    OpKind kind;
};
extern const OpRow op_table[op_count];
int op_by_name(const char* name);  // -1 unknown

}  // namespace recell
