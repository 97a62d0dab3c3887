// Streams of single steps: entry points for the C ABI.
#pragma once
#include "program.h"

namespace recell {

struct Stream;
Stream* new_stream();
void free_stream(Stream*);
void add_program(Stream&, Program&, void* const* buffers, const rc_call&);
void add_table(Stream&, const void* table, int64_t count, int64_t row_bytes, const int64_t* numbers, int64_t rows, void* destination);
void hold_stream(Stream&);     // throws Error where another holds it
void release_stream(Stream&);
void step_held(Stream&, int first);

// Holds a stream while it lives.
class Hold {
  public:
    explicit Hold(Stream& stream) : stream_(stream) { hold_stream(stream); }
    ~Hold() { release_stream(stream_); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

  private:
    Stream& stream_;
};

}  // namespace recell
