// Errors inside are exceptions; the C ABI turns them into a negative number and rc_last_error().
#pragma once
#include <stdexcept>
#include <string>

namespace recell {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

void set_last_error(const char* text);
const char* last_error();

// Runs `body`, which returns a number; -1 and the error's text if it throws.
template <class F> auto guarded(F body) noexcept -> decltype(body()) {
    try {
        return body();
    } catch (const std::bad_alloc&) {
        set_last_error("out of memory");
    } catch (const std::exception& e) {
        set_last_error(e.what());
    }
    return -1;
}

}  // namespace recell
