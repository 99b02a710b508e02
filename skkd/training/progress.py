"""A progress bar for long fits."""

__all__ = ["ProgressBar"]


class ProgressBar:
    """A bar with the losses and metrics of the last epoch.

    Parameters
    ----------
    n_epochs : int or None
        That come; None: nobody knows how many.
    verbose : int
        1 shows the bar, 2 and more also write one line per epoch above it.
    title : str, default=None
        Stands in front of the bar.
    n_before : int, default=0
        Epochs that lie behind.
    """

    def __init__(self, n_epochs, verbose, title=None, n_before=0):
        from tqdm.auto import tqdm

        total = None if n_epochs is None else n_before + n_epochs
        self.bar = tqdm(total=total, initial=n_before, unit="epoch", desc=title)
        self.verbose = verbose
        self.n_before = n_before

    def on_epoch_end(self, record, title=None):
        """Show an epoch's record: a dict of plain floats; and another title."""
        metrics = {k: value for k, value in record.items() if k not in ("epoch", "seconds")}
        if self.verbose > 1:
            described = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
            self.bar.write(f"epoch {self.n_before + record['epoch']}: {described}")
        self.bar.update()
        self.show(title, metrics)

    def show(self, title, metrics):
        """Put a title in front, unless it is None, and numbers behind."""
        if title is not None:
            self.bar.set_description_str(title, refresh=False)
        self.bar.set_postfix({k: f"{value:.4g}" for k, value in metrics.items()}, refresh=False)

    def close(self):
        self.bar.close()
