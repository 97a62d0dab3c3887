#pragma once
#include "recell.h"

namespace recell {

void ctc_loss(const rc_ctc_call&);

}  // namespace recell
