// Chooses the instruction set once: the best that the processor has, or the one that RECELL_ISA names.
#include <cstdlib>
#include <cstring>
#include <string>

#include "error.h"
#include "kernels.h"

namespace recell {

#define RC_DECLARE(name)                          \
    const Kernels<float>* float_kernels_##name(); \
    const Kernels<double>* double_kernels_##name();
RC_DECLARE(baseline)
#if defined(RECELL_HAS_X86)
RC_DECLARE(avx512)
RC_DECLARE(avx512_bf16)
RC_DECLARE(avx2)
#endif

namespace {

struct Choice {
    const char* name;
    bool available;
    const Kernels<float>* (*floats)();
    const Kernels<double>* (*doubles)();
};

// The sets that are compiled in and that this processor has, as a sentence writes them: "avx2 or baseline".
template <int count> std::string written(const Choice (&choices)[count]) {
    std::string line;
    for (int left = count; const Choice& c : choices) {
        --left;
        if (c.available) line += std::string(line.empty() ? "" : left ? ", " : " or ") + c.name;  // the last, baseline, is everywhere
    }
    return line;
}

const Choice& choose() {
#if defined(RECELL_HAS_X86)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                      __builtin_cpu_supports("bmi2");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
    const bool bf16 = __builtin_cpu_supports("avx512bf16");
    static const Choice choices[] = {{"avx512", avx512, bf16 ? float_kernels_avx512_bf16 : float_kernels_avx512, double_kernels_avx512},
                                     {"avx2", avx2, float_kernels_avx2, double_kernels_avx2},
                                     {"baseline", true, float_kernels_baseline, double_kernels_baseline}};
#else
    static const Choice choices[] = {{"baseline", true, float_kernels_baseline, double_kernels_baseline}};
#endif
    const char* wanted = std::getenv("RECELL_ISA");
    if (wanted && !*wanted) wanted = nullptr;
    for (const Choice& c : choices)
        if (wanted ? !std::strcmp(c.name, wanted) : c.available) {
            if (!c.available) fail("RECELL_ISA=%s: this processor does not have it; write %s", wanted, written(choices).c_str());
            return c;
        }
    fail("RECELL_ISA=%s is no instruction set of this build; write %s", wanted ? wanted : "", written(choices).c_str());
}

const Choice& chosen() {
    static const Choice& c = choose();
    return c;
}

}  // namespace

template <> const Kernels<float>& kernels<float>() {
    static const Kernels<float>& k = *chosen().floats();
    return k;
}
template <> const Kernels<double>& kernels<double>() {
    static const Kernels<double>& k = *chosen().doubles();
    return k;
}
const char* instruction_set() { return chosen().name; }

}  // namespace recell
