#include "ops.h"

#include <cstring>

namespace recell {

#define RC_OP_ROW(name, arity, kind) {#name, arity, OpKind::kind},
const OpRow op_table[op_count] = {RC_OPS(RC_OP_ROW)};
#undef RC_OP_ROW

int op_by_name(const char* name) {
    for (int op = 0; name && op < op_count; ++op)
        if (!std::strcmp(op_table[op].name, name)) return op;
    return -1;
}

}  // namespace recell
