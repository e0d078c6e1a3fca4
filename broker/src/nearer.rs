//! Tells the processor what memory will be wanted soon, so that it fetches it meanwhile. Changes
//! nothing but time: on processors that we have no hint for, it is fetched when it is used.

/// What one hint is about.
const LINE: usize = 64;

const MOST: usize = 2048;

/// It will be read.
#[inline]
pub fn to_read<T>(soon: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that neither reads nor writes and cannot fault; the address is that of a
        // live value. SSE is there on every x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(soon).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = soon;
}

/// So much will be appended soon: where it goes, another processor's copy is not waited for then. Of
/// more than `MOST` octets the beginning, whose order shows the processor the rest.
#[inline]
#[allow(clippy::pointers_in_nomem_asm_block)] // a hint is neither a read nor a write
pub fn to_append(octets: &mut Vec<u8>, length: usize) {
    let room = octets.spare_capacity_mut();
    let soon = room.get_mut(..length.min(MOST)).unwrap_or_default();
    #[cfg(target_arch = "x86_64")]
    for line in soon.chunks_mut(LINE) {
        // SAFETY: a hint that neither reads nor writes and cannot fault; the address is that of memory
        // we own. An x86-64 without this instruction takes it for one that does nothing.
        unsafe {
            core::arch::asm!(
                "prefetchw byte ptr [{line}]",
                line = in(reg) line.as_mut_ptr(),
                options(nomem, nostack, preserves_flags)
            );
        };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (soon, LINE);
}
