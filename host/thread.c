/*
** thread.c: threads beside the loop's, and what registers still hold. Copying bytes leaves the last of them in the vector
** registers, where they stay for as long as nobody needs those, and a core has the registers of every thread. Who has
** handled a secret and goes on to wait clears them: the loop before each poll, a thread when it is connected.
*/
#include "host.h"

#include <signal.h>

#if defined(__x86_64__)

void host_registers_clear (void) {
  if (__builtin_cpu_supports("avx512f"))
    __asm__ volatile (".irp n,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n vpxorq %%zmm\\n, %%zmm\\n, %%zmm\\n\n .endr" ::);
  if (__builtin_cpu_supports("avx"))
    __asm__ volatile ("vzeroall" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                      "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
  else
    __asm__ volatile (".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n pxor %%xmm\\n, %%xmm\\n\n .endr"
                      ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",
                      "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

#elif defined(__aarch64__)

void host_registers_clear (void) {              /* the compiler saves what it must keep of v8 to v15 */
  __asm__ volatile (".irp n,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
                    " movi v\\n\\().2d, #0\n .endr"
                    ::: "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16",
                    "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
}

#else

void host_registers_clear (void) { }

#endif

int host_thread (pthread_t *thread, void *(*run) (void *), void *arg) {
  sigset_t all, before;
  sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  host_registers_clear();                       /* a thread begins with a copy of them */
  int code = pthread_create(thread, NULL, run, arg);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return code;
}
