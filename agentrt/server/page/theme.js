/* Before the first paint: the colours that were chosen, if any were. */
try {
	const theme = localStorage.getItem("agentrt.theme");
	if (theme) document.documentElement.dataset.theme = theme;
} catch {}
