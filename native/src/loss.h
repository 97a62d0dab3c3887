#pragma once
#include "recell.h"

namespace recell {

void linear_cross_entropy(const rc_loss_call&);

}  // namespace recell
