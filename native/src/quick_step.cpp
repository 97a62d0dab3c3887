// A stream's step as a Python built-in of one argument. No Python header is needed: what is asked of Python comes as pointers,
// and where NumPy keeps an array's fields comes as offsets that the caller has checked on an array that it knows.
#include "quick_step.h"

#include <cstring>

#include "stream.h"

namespace recell {

namespace {

rc_python python{};

template <class F> F field(const void* object, int64_t offset) {
    F value;
    std::memcpy(&value, static_cast<const char*>(object) + offset, sizeof value);
    return value;
}

bool is_a(const void* object, const void* type) { return field<const void*>(object, python.type_at) == type; }

// (rows, width), of the session's own dtype, in C order: as it must be, so that its bytes can be copied.
bool take_array(const rc_quick& q, const void* x) {
    if (field<const void*>(x, python.dtype_at) != q.dtype || field<int>(x, python.dimensions_at) != 2) return false;
    const auto* shape = field<const intptr_t*>(x, python.shape_at);
    if (shape[0] != q.rows || shape[1] != q.width) return false;
    if ((field<int>(x, python.flags_at) & python.wanted_flags) != python.wanted_flags) return false;
    std::memcpy(q.x, field<const void*>(x, python.data_at), size_t(q.rows * q.width * q.item));
    return true;
}

// A list of one whole number a row. Their range is the table's to check.
bool take_numbers(const rc_quick& q, void* list) {
    if (python.list_size(list) != q.rows) return false;
    for (int64_t n = 0; n < q.rows; ++n) {
        void* number = python.list_item(list, n);
        int overflow = 0;
        if (!is_a(number, python.int_type)) return false;
        q.numbers[n] = python.number_of(number, &overflow);
        if (overflow) return false;
    }
    return true;
}

}  // namespace

void set_python(const rc_python& functions) { python = functions; }

void* quick_step(void* self, void* argument) {
    const auto& q = *static_cast<const rc_quick*>(python.pointer_of(self));
    void* result = python.none;
    try {
        auto& stream = *reinterpret_cast<Stream*>(q.stream);
        const Hold hold(stream);
        if (is_a(argument, python.array_type) && take_array(q, argument)) {
            step_held(stream, 1);
            result = q.scores;
        } else if (is_a(argument, python.list_type) && take_numbers(q, argument)) {
            step_held(stream, 0);
            result = q.scores;
        }
    } catch (...) {  // nothing has moved; the ordinary step says what does not fit
        result = python.none;
    }
    python.retain(result);
    return result;
}

}  // namespace recell
