#include "memory_pool.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <unordered_map>

namespace recell {

namespace {

constexpr int64_t huge_page = int64_t(2) << 20;
constexpr int64_t large = huge_page / 2;           // from here on: whole huge pages from mmap
constexpr int64_t free_limit = int64_t(1) << 30;   // a block that would make the free lists longer goes back to the system

struct Pool {
    std::mutex mutex;
    std::unordered_map<void*, int64_t> sizes;   // of every block held, in use or free
    std::multimap<int64_t, void*> free_blocks;  // by size
    int64_t held = 0, free_bytes = 0;
};

// Never destroyed: blocks may be released while the process ends.
Pool& pool();

void lock_for_fork() { pool().mutex.lock(); }
void unlock_after_fork() { pool().mutex.unlock(); }

Pool& pool() {
    static Pool* p = [] {
        pthread_atfork(lock_for_fork, unlock_after_fork, unlock_after_fork);  // the child inherits a consistent, unlocked pool
        return new Pool;
    }();
    return *p;
}

// Powers of two below `large`, else a multiple of the huge page.
int64_t block_size(int64_t bytes) {
    if (bytes >= large) return (bytes + huge_page - 1) / huge_page * huge_page;
    int64_t size = 256;
    while (size < bytes) size *= 2;
    return size;
}

void* map_huge(int64_t size) {
    // mmap aligns to 4 KiB only: take one huge page more and cut both ends.
    char* raw = static_cast<char*>(mmap(nullptr, size_t(size + huge_page), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (raw == MAP_FAILED) return nullptr;
    char* block = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(raw) + huge_page - 1) / huge_page * huge_page);
    if (block > raw) munmap(raw, size_t(block - raw));
    const int64_t after = (raw + size + huge_page) - (block + size);
    if (after > 0) munmap(block + size, size_t(after));
#if defined(MADV_HUGEPAGE)
    madvise(block, size_t(size), MADV_HUGEPAGE);
#endif
    return block;
}

void* from_system(int64_t size) { return size >= large ? map_huge(size) : std::aligned_alloc(64, size_t(size)); }

void to_system(void* block, int64_t size) {
    if (size >= large)
        munmap(block, size_t(size));
    else
        std::free(block);
}

void drop_free(Pool& p) {
    for (auto [size, block] : p.free_blocks) {
        p.sizes.erase(block);
        to_system(block, size);
    }
    p.held -= p.free_bytes;
    p.free_bytes = 0;
    p.free_blocks.clear();
}

// The smallest free block that fits and is not much too large.
void* take_free(Pool& p, int64_t size) {
    auto found = p.free_blocks.lower_bound(size);
    if (found == p.free_blocks.end() || found->first > size + size / 2) return nullptr;
    void* block = found->second;
    p.free_bytes -= found->first;
    p.free_blocks.erase(found);
    return block;
}

}  // namespace

void* pool_allocate(int64_t bytes) {
    if (bytes < 0 || bytes > int64_t(1) << 46) throw std::bad_alloc();
    const int64_t size = block_size(bytes);
    Pool& p = pool();
    std::lock_guard lock(p.mutex);
    if (void* block = take_free(p, size)) return block;
    void* block = from_system(size);
    if (!block) {
        drop_free(p);
        block = from_system(size);
    }
    if (!block) throw std::bad_alloc();
    p.sizes[block] = size;
    p.held += size;
    return block;
}

void pool_release(void* block) noexcept {
    if (!block) return;
    Pool& p = pool();
    std::lock_guard lock(p.mutex);
    auto found = p.sizes.find(block);
    if (found == p.sizes.end()) return;
    const int64_t size = found->second;
    if (p.free_bytes + size > free_limit) {
        p.sizes.erase(found);
        p.held -= size;
        to_system(block, size);
        return;
    }
    p.free_blocks.emplace(size, block);
    p.free_bytes += size;
}

void pool_trim() noexcept {
    Pool& p = pool();
    std::lock_guard lock(p.mutex);
    drop_free(p);
}

int64_t pool_bytes() noexcept {
    Pool& p = pool();
    std::lock_guard lock(p.mutex);
    return p.held;
}

}  // namespace recell
