#include "error.h"

#include <cstdarg>
#include <cstdio>

namespace recell {

namespace {
thread_local std::string last;
}

void fail(const char* format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    throw Error(text);
}

void set_last_error(const char* text) { last = text; }
const char* last_error() { return last.c_str(); }

}  // namespace recell
