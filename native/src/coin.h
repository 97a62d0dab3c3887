// The counter generator of coins: h = 0x9E3779B9; for k in (seed low, seed high, layer, direction, op number, row, unit, step):
// h = mix(h ^ k); the coin is 1 where h < rate * 2^32. The same on every backend. Internal linkage: also compiled per
// instruction set.
#pragma once
#include <cstdint>

namespace {

inline uint32_t coin_mix(uint32_t v) {
    v ^= v >> 16;
    v *= 0x7feb352du;
    v ^= v >> 15;
    v *= 0x846ca68bu;
    return v ^ v >> 16;
}

}  // namespace
