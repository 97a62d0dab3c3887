#pragma once
#include "recell.h"

namespace recell {

void crf_loss(const rc_crf_call&);
void crf_gradient(const rc_crf_call&);

}  // namespace recell
