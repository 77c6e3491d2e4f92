import { useEffect } from 'react';

/** Keeps the screen on while the page is visible. A browser without this, or a page without HTTPS, goes on without it. */
export function useWakeLock() {
  useEffect(() => {
    let lock: WakeLockSentinel | undefined;
    let over = false;
    const hold = async () => {
      if (document.visibilityState !== 'visible') return;
      try {
        const taken = await navigator.wakeLock?.request('screen');
        if (over) void taken?.release();
        else lock = taken;
      } catch {
        // A battery that is low, for example.
      }
    };
    void hold();
    // The browser takes the lock back from a hidden page.
    document.addEventListener('visibilitychange', hold);
    return () => {
      over = true;
      document.removeEventListener('visibilitychange', hold);
      void lock?.release();
    };
  }, []);
}
