import { RoomwatchProvider } from '@roomwatch/react';
import { QueryClient } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { ConfirmProvider } from '@/ui/confirm';
import { isSignedOut } from '@/ui/errors';
import { Toasts } from '@/ui/toast';
import { TooltipProvider } from '@/ui/tooltip';
import { basePath } from './base';
import { router } from './router';
import './styles.css';

const queryClient = new QueryClient({
  defaultOptions: {
    queries: {
      // An answer such as 401 or 404 is an answer; only silence is worth a second question.
      retry: (failures, error) => failures < 2 && !isSignedOut(error) && (error as { status?: number }).status === 0,
      staleTime: 5_000,
      // Whether this machine has the internet says nothing about Roomwatch, which may be on loopback.
      networkMode: 'always',
    },
  },
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
