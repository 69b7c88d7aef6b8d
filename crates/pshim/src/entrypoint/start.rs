//! The program's first instruction, and the symbols that the compiled core library needs.

use alloc::vec::Vec;
use core::arch::naked_asm;

use crate::{Input, main, system};

/// The kernel jumps here, with the stack pointer at the number of arguments (System V ABI, process initialization).
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {begin}", begin = sym begin)
}

/// Does the same as on x86_64. The first argument of `begin` goes into x0.
#[cfg(target_arch = "aarch64")]
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!("mov x29, xzr", "mov x30, xzr", "mov x0, sp", "bl {begin}", begin = sym begin)
}

unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: at `stack` the kernel has put the number of arguments, that many pointers, a null pointer, the pointers
    // of the environment, and another null pointer. The texts that they point to live as long as the process.
    let given = unsafe {
        let count = *stack;
        let arguments = stack.add(1).cast::<*const u8>();
        Input { arguments: texts(arguments.add(1)), environment: texts(arguments.add(count + 1)) }
    };
    system::exit(main(&given))
}

/// Reads the texts of a list of pointers that ends with a null pointer.
///
/// # Safety
///
/// The list must end with a null pointer, and each text with a NUL byte. Both must live as long as the process.
unsafe fn texts(mut list: *const *const u8) -> Vec<&'static [u8]> {
    let mut texts = Vec::new();
    // SAFETY: the caller promises what the doc comment asks for.
    unsafe {
        while !(*list).is_null() {
            texts.push(core::ffi::CStr::from_ptr((*list).cast()).to_bytes());
            list = list.add(1);
        }
    }
    texts
}

/// The core library was compiled for unwinding and needs this symbol, but this program never unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// The core library needs this symbol, too. The function is never called.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    system::exit(pshim::FAILED)
}
