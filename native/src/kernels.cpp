// One instruction set's tables. CMake compiles this file once per set, with its flags and RECELL_TABLE = avx512, avx2 or
// baseline.
#include "kernels.h"

#include "crf_kernels.h"
#include "ctc_kernels.h"
#include "gemm.h"
#include "loss_kernels.h"
#include "outer_gemm.h"
#include "pointwise.h"
#include "transpose.h"

namespace {

template <class T> constexpr recell::Kernels<T> table() {
    using namespace recell;
    Kernels<T> k{};
    k.lanes = lanes<T>;
    k.panel = panel_vectors * lanes<T>;
    k.slab = 8 / sizeof(T) * 32;  // 64 floats, 32 doubles: whole panels on every instruction set
    k.gemm = gemm<Plain<T>>;
    k.outer = outer<Plain<T>>;
    if constexpr (sizeof(T) == sizeof(float)) {
        k.gemm_pairs = gemm<Pairs>;
        k.outer_pairs = outer<Pairs>;
        k.pair_rows = pair_rows;
        k.pair_neighbours = pair_neighbours;
#if defined(__AVX512BF16__)
        k.pairs_native = true;
#endif
    }
    k.transpose = transpose<T>;
    k.accumulate = accumulate<T>;
    k.accumulate_all = accumulate_all<T>;
    k.coin = coin<T>;
    k.exponentials = exponentials<T>;
    k.logit_gradients = logit_gradients<T>;
    k.row_maxima = row_maxima<T>;
    k.row_exponentials = row_exponentials<T>;
    k.row_gradients = row_gradients<T>;
    k.ctc_row = ctc_row<T>;
    k.ctc_scratch = ctc_scratch;
    k.crf_pack = crf_pack<T>;
    k.crf_forward = crf_forward<T>;
    k.crf_backward = crf_backward<T>;
    k.crf_moves = crf_moves<T>;
    k.crf_scratch = crf_scratch;
    k.fma_work = fma_work<T>;
    PointFunction<T>* p = k.point;
    p[op_copy] = map<T, Copy, 1>, p[op_splat] = splat_rows<T>;
    p[op_add] = map<T, Add, 2>, p[op_sub] = map<T, Sub, 2>, p[op_mul] = map<T, Mul, 2>, p[op_div] = map<T, Div, 2>;
    p[op_mod] = map<T, Mod, 2>, p[op_neg] = map<T, Neg, 1>;
    p[op_add_add] = map<T, AddAdd, 3>, p[op_add_sub] = map<T, AddSub, 3>, p[op_add_rsub] = map<T, AddRsub, 3>;
    p[op_add_mul] = map<T, AddMul, 3>, p[op_sub_add] = map<T, SubAdd, 3>, p[op_sub_sub] = map<T, SubSub, 3>;
    p[op_sub_rsub] = map<T, SubRsub, 3>, p[op_sub_mul] = map<T, SubMul, 3>, p[op_mul_add] = map<T, MulAdd, 3>;
    p[op_mul_sub] = map<T, MulSub, 3>, p[op_mul_rsub] = map<T, MulRsub, 3>, p[op_mul_mul] = map<T, MulMul, 3>;
    p[op_mul_sigmoid_slope] = map<T, MulSigmoidSlope, 2>, p[op_mul_mul_sigmoid_slope] = map<T, MulMulSigmoidSlope, 3>;
    p[op_mul_tanh_slope] = map<T, MulTanhSlope, 2>, p[op_mul_mul_tanh_slope] = map<T, MulMulTanhSlope, 3>;
    p[op_sigmoid] = map<T, Sigmoid, 1>, p[op_tanh] = map<T, Tanh, 1>, p[op_relu] = map<T, Relu, 1>;
    p[op_exp] = map<T, Exp, 1>, p[op_log] = map<T, Log, 1>, p[op_sqrt] = map<T, Sqrt, 1>, p[op_abs] = map<T, Abs, 1>;
    p[op_sin] = map<T, Sin, 1>, p[op_cos] = map<T, Cos, 1>, p[op_floor] = map<T, Floor, 1>;
    p[op_softplus] = map<T, Softplus, 1>, p[op_silu] = map<T, Silu, 1>, p[op_reciprocal] = map<T, Reciprocal, 1>;
    p[op_maximum] = map<T, Maximum, 2>, p[op_minimum] = map<T, Minimum, 2>, p[op_where] = map<T, Where, 3>;
    p[op_lt] = map<T, Less, 2>, p[op_le] = map<T, LessEqual, 2>, p[op_gt] = map<T, Greater, 2>;
    p[op_ge] = map<T, GreaterEqual, 2>, p[op_eq] = map<T, Equal, 2>, p[op_ne] = map<T, NotEqual, 2>;
    p[op_sum] = sum_rows<T>, p[op_mean] = mean_rows<T>, p[op_max] = max_rows<T>, p[op_softmax] = softmax_rows<T>;
    p[op_accumulate_mul] = accumulate_products<T>;
    return k;
}

constexpr recell::Kernels<float> float_table = table<float>();
constexpr recell::Kernels<double> double_table = table<double>();

}  // namespace

#define RC_JOIN2(a, b) a##b
#define RC_JOIN(a, b) RC_JOIN2(a, b)
namespace recell {
const Kernels<float>* RC_JOIN(float_kernels_, RECELL_TABLE)() { return &float_table; }
const Kernels<double>* RC_JOIN(double_kernels_, RECELL_TABLE)() { return &double_table; }
}  // namespace recell
