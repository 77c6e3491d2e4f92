import { type Condition, useAttention } from '@roomwatch/react';
import { useMemo } from 'react';

/** Conditions that nobody has acknowledged, and the others. */
export interface OpenConditions {
  open: Condition[];
  acknowledged: Condition[];
}

/** Returns the open conditions, or undefined until they are known. */
export function useOpenConditions(): OpenConditions | undefined {
  const { data } = useAttention();
  return useMemo(() => {
    if (!data) return undefined;
    return {
      open: data.conditions.filter((condition) => !condition.acknowledged),
      acknowledged: data.conditions.filter((condition) => condition.acknowledged),
    };
  }, [data]);
}
