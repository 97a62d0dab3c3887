// A stream's step as a Python built-in: entry points for the C ABI.
#pragma once
#include "recell.h"

namespace recell {

void set_python(const rc_python&);
void* quick_step(void* self, void* argument);

}  // namespace recell
