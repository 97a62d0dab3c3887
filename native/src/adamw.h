#pragma once
#include "recell.h"

namespace recell {

void adamw(int dtype, int threads, int64_t count, const rc_adamw_tensor* tensors, const rc_adamw_rates& rates);

}  // namespace recell
