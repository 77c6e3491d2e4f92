import { afterEach } from 'vitest';
import { cleanUp } from './cleanup';

declare global {
  var IS_REACT_ACT_ENVIRONMENT: boolean;
}

afterEach(cleanUp);
