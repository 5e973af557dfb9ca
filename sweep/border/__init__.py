"""Where training stops being stable: mapped by short runs, as a border with a calibrated band."""
