//! An allocator that only takes back what it gave last, and the memory functions that the compiler calls by name.
//!
//! The program allocates a few kilobytes and then becomes another program, or it copies bytes in fixed buffers, so
//! there is little to free. What runs for long, such as the forwarder, frees its memory in the reverse order. The kernel
//! takes all memory back when the process ends or becomes another program.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::system;

/// How many bytes the program requests from the kernel at once, at least.
const BLOCK: usize = 1 << 20;

struct Bump {
    next: AtomicUsize,
    end: AtomicUsize,
}

#[global_allocator]
static MEMORY: Bump = Bump { next: AtomicUsize::new(0), end: AtomicUsize::new(0) };

// SAFETY: the program has one thread. Each allocation is an aligned piece of a mapping that is never unmapped, and only a
// piece that was freed is handed out again.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.next.load(Ordering::Relaxed).next_multiple_of(layout.align());
        if let Some(end) = start.checked_add(layout.size())
            && end <= self.end.load(Ordering::Relaxed)
        {
            self.next.store(end, Ordering::Relaxed);
            return start as *mut u8;
        }
        // The kernel's pages are aligned for every type that the program allocates.
        let length = layout.size().max(1).next_multiple_of(BLOCK);
        let Some(start) = system::map(length) else { return null_mut() };
        self.next.store(start + layout.size(), Ordering::Relaxed);
        self.end.store(start + length, Ordering::Relaxed);
        start as *mut u8
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        if start as usize + layout.size() == self.next.load(Ordering::Relaxed) {
            self.next.store(start as usize, Ordering::Relaxed);
        }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let begin = start as usize;
        if begin + layout.size() == self.next.load(Ordering::Relaxed)
            && let Some(end) = begin.checked_add(size)
            && end <= self.end.load(Ordering::Relaxed)
        {
            self.next.store(end, Ordering::Relaxed);
            return start;
        }
        // SAFETY: the caller promises that `start` has this layout, and that `size` with its alignment is a layout too.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                memcpy(moved, start, layout.size().min(size));
                self.dealloc(start, layout);
            }
            moved
        }
    }
}

/// Copies bytes between areas that do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller promises what C's `memcpy` asks for.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!(
            "rep movsb",
            inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags)
        );
        #[cfg(not(target_arch = "x86_64"))]
        for at in 0..count {
            *to.add(at) = *from.add(at);
        }
    }
    to
}

/// Copies bytes between areas that may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller promises what C's `memmove` asks for. The direction of the copy is chosen so that no byte is
    // overwritten before it is read.
    unsafe {
        if (to as usize).wrapping_sub(from as usize) >= count {
            return memcpy(to, from, count);
        }
        for at in (0..count).rev() {
            *to.add(at) = *from.add(at);
        }
    }
    to
}

/// Sets bytes to one value.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller promises what C's `memset` asks for.
    unsafe {
        for at in 0..count {
            *to.add(at) = byte as u8;
        }
    }
    to
}

/// Compares bytes. Returns a negative number, zero or a positive number.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    // SAFETY: the caller promises what C's `memcmp` asks for.
    unsafe {
        for at in 0..count {
            let difference = i32::from(*one.add(at)) - i32::from(*other.add(at));
            if difference != 0 {
                return difference;
            }
        }
    }
    0
}

/// Compares bytes. Returns zero if they are equal.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    // SAFETY: the caller promises what C's `bcmp` asks for, which is the same as for `memcmp`.
    unsafe { memcmp(one, other, count) }
}

/// Returns the length of a text that ends with a NUL byte.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller promises what C's `strlen` asks for.
    unsafe {
        while *text.add(length) != 0 {
            length += 1;
        }
    }
    length
}
