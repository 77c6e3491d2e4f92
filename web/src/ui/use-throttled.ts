import { useEffect, useRef, useState } from 'react';

/** Returns the value, changing at most once in `millis`, for lists that follow hundreds of events a second. */
export function useThrottled<T>(value: T, millis: number): T {
  const [shown, setShown] = useState(value);
  const at = useRef(Number.NEGATIVE_INFINITY);
  useEffect(() => {
    const wait = Math.max(0, at.current + millis - performance.now());
    const timer = setTimeout(() => {
      at.current = performance.now();
      setShown(() => value);
    }, wait);
    return () => clearTimeout(timer);
  }, [value, millis]);
  // The first value is returned at once, so that the skeleton goes.
  return shown === undefined ? value : shown;
}
