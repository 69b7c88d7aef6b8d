//! The first instruction, and what the compiled core library expects to find.

use alloc::vec::Vec;
use core::arch::naked_asm;

use crate::{Input, main, system};

/// The kernel jumps here with the stack pointer at the count of arguments (System V ABI, process initialization).
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {begin}", begin = sym begin)
}

/// As for x86_64; the first argument travels in x0.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("mov x29, xzr", "mov x30, xzr", "mov x0, sp", "bl {begin}", begin = sym begin)
}

unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: the kernel put the count, that many pointers, a null pointer, the environment's pointers and another null
    // pointer there; the texts they point to live as long as the process.
    let given = unsafe {
        let count = *stack;
        let arguments = stack.add(1).cast::<*const u8>();
        Input { arguments: texts(arguments.add(1)), environment: texts(arguments.add(count + 1)) }
    };
    system::exit(main(&given))
}

/// Reads the texts of a list that ends with a null pointer.
///
/// # Safety
///
/// The list must end so, and each text with a NUL; both must live as long as the process.
unsafe fn texts(mut list: *const *const u8) -> Vec<&'static [u8]> {
    let mut texts = Vec::new();
    // SAFETY: the caller's promise.
    unsafe {
        while !(*list).is_null() {
            texts.push(core::ffi::CStr::from_ptr((*list).cast()).to_bytes());
            list = list.add(1);
        }
    }
    texts
}

/// The core library was compiled to unwind; this program never does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Never called, since nothing unwinds.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    system::exit(pshim::FAILED)
}
