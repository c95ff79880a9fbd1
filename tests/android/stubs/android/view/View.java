package android.view;

/** What the examples in docs/ call of Android's class of this name, for a compiler without Android's SDK. */
public class View {
    public native boolean post(Runnable action);
}
