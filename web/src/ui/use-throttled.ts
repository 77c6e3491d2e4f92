import { useEffect, useRef, useState } from 'react';

/** The value, but changing at most once in `millis`: a list that follows two hundred events a second need not be drawn as often. */
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
  // The first answer is not held back: the skeleton goes as soon as there is something to show.
  return shown === undefined ? value : shown;
}
