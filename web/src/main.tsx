import { RoomwatchProvider } from '@roomwatch/react';
import { QueryClient } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ConfirmProvider } from '@/ui/confirm';
import { isSignedOut } from '@/ui/errors';
import { Toasts } from '@/ui/toast';
import { TooltipProvider } from '@/ui/tooltip';
import { whenIdle } from '@/ui/when-idle';
import { basePath } from './base';
import { loadPageFiles } from './page-file';
import { router } from './router';
import './styles.css';

const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // Only a missing answer is worth a retry. An error status is an answer.
      retry: (failures, error) => failures < 2 && !isSignedOut(error) && (error as { status?: number }).status === 0,
      staleTime: 5_000,
      // Without internet, Roomwatch can still be reachable: it may be on loopback.
      networkMode: 'always',
    },
  },
});

const stop = router.subscribe('onResolved', () => {
  stop();
  whenIdle(loadPageFiles);
});

const element = document.getElementById('root');
if (!element) throw new Error('index.html has no #root');

createRoot(element).render(
  <StrictMode>
    <RoomwatchProvider url={basePath} queryClient={queryClient}>
      <TooltipProvider delayDuration={350}>
        <ConfirmProvider>
          <RouterProvider router={router} />
          <Toasts />
        </ConfirmProvider>
      </TooltipProvider>
    </RoomwatchProvider>
  </StrictMode>,
);
